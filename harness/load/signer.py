"""The key that a service signs its tokens with, where the person gives it: signs what the service would not.

Only with it can a service be sent a token that is wrong in nothing but its audience, its issuer or its end.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from harness.clock import utc_now
from harness.core.forgery import Jwt
from harness.environ import variable
from harness.load.token_auth import BearerAuth

__all__ = ["Signer"]

_PAST_S = 3600.0
"""How long ago a token that we sign ourselves has ended: no leeway is that long."""

_UNUSABLE = (
    jwt.PyJWTError,
    UnsupportedAlgorithm,
    AttributeError,
    NotImplementedError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Signer:
    """Signs what `token` says, or says otherwise, as the service has signed it."""

    token: Jwt = field(repr=False)
    key: str = field(repr=False)

    @classmethod
    def of(cls, auth: BearerAuth, token: Jwt) -> Signer | str:
        """The signer of the service that has issued `token`, or why nothing can be signed."""
        name = auth.key_held_in
        if name is None:
            return "the key that the service signs with is not known"
        key = variable(name)
        if key is None:
            return f"{name} is not set"
        try:
            if not _signed_by(token, key):
                return f"the key in {name} is not the one that the service signs with"
            signer = cls(token, key)
            signer.sign()
        except _UNUSABLE as error:
            return f"the key in {name} signs nothing ({type(error).__name__})"
        return signer

    def sign(self, **changes: Any) -> str:
        """A token that says the same but for `changes` of its claims."""
        header = {name: value for name, value in self.token.header.items() if name not in ("alg", "typ")}
        claims = {**self.token.claims, **changes}
        return jwt.encode(claims, self.key, str(self.token.header.get("alg")), headers=header or None)

    def ended(self) -> str:
        """A token that ended long ago."""
        return self.sign(exp=int(utc_now().timestamp() - _PAST_S))


def _signed_by(token: Jwt, key: str) -> bool:
    """Whether the signature of a token is by `key`; raises one of _UNUSABLE for what is no key."""
    algorithm = jwt.get_algorithm_by_name(str(token.header.get("alg")))
    prepared = algorithm.prepare_key(key)
    public = prepared.public_key() if hasattr(prepared, "public_key") else prepared
    signature = base64.urlsafe_b64decode(token.signature + "=" * (-len(token.signature) % 4))
    return bool(algorithm.verify(f"{token.head}.{token.body}".encode(), public, signature))
