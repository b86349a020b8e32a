"""How hypothesis tries examples in all unit tests."""

from hypothesis import settings

# How long an example takes tells more of the machine than of the code.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
