"""How hypothesis tries examples in all unit tests."""

from hypothesis import HealthCheck, settings

# How long an example takes tells more of the machine than of the code.
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
