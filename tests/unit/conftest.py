"""How hypothesis tries examples in all unit tests; `HYPOTHESIS_PROFILE=thorough` tries many."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes tells more of the machine than of the code.
for profile, examples in (("quick", 25), ("thorough", 1000)):
    settings.register_profile(
        profile, deadline=None, max_examples=examples, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
