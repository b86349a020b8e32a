"""The key that the reference services of a run sign their tokens with."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from harness.environ import provide, variable

__all__ = ["provide_signing_key", "signing_key_for_services"]

SIGNING_KEY = "MUL_TARGET_SIGNING_KEY"
"""The variable that has it."""


def provide_signing_key() -> None:
    """Choose the key, unless the person has.

    It travels in the environment alone, to the services and to the processes of the load, which need it to
    make what a service must refuse though it is rightly signed. So it is there before Locust forks those.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    provide(SIGNING_KEY, pem.decode())


def signing_key_for_services() -> dict[str, str]:
    """The environment with the key, chosen or the person's; empty where neither is."""
    key = variable(SIGNING_KEY)
    return {} if key is None else {SIGNING_KEY: key}
