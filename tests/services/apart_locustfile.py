"""The reference service's people, who sign in at a service of its own."""

from harness.locust import PasswordGrant, Revoke  # isort: skip - it goes first

import os
import runpy
from pathlib import Path

DEMO = Path(__file__).parents[2] / "locustfiles" / "migrate_under_load.py"
AUTH = os.environ["AUTH_URL"]


class Customer(runpy.run_path(str(DEMO))["Person"]):
    """As in the demo, but for where it signs in."""

    auth = PasswordGrant(
        f"{AUTH}/token",
        refresh=f"{AUTH}/token/refresh",
        scope="read write",
        read_scope="read",
        revoke=Revoke(f"{AUTH}/token/revoke", by="json"),
        jwks=f"{AUTH}/.well-known/jwks.json",
        signing_key="MUL_TARGET_SIGNING_KEY",
        leeway_s=0.0,
    )
