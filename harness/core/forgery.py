"""Forgery: what a service must not take for one of its tokens, made from a token that it does take.

A JSON Web Token (RFC 7519) is three texts with dots between: header, claims and signature. Whoever has one,
and nothing else, can make all that is made here; what needs the service's own key is signed elsewhere
(`load/token_probes.py`). Nothing here reads a clock or draws a random number.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.isolation import ALG_NONE, ALTERED, FORGED_SIGNATURE, KEY_CONFUSION

__all__ = ["Forged", "Jwt", "altered", "altered_token", "forged"]

_SYMMETRIC = ("HS256", "HS384", "HS512")


@dataclass(frozen=True)
class Jwt:
    """A token taken apart; the texts are as it was issued."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    head: str = field(repr=False)
    body: str = field(repr=False)
    signature: str = field(repr=False)

    @classmethod
    def parse(cls, token: str) -> Jwt | None:
        """The token taken apart, None when it is no JSON Web Token."""
        parts = token.split(".")
        if len(parts) != 3:
            return None
        try:
            header, claims = (json.loads(_decoded(part)) for part in parts[:2])
            _decoded(parts[2])
        except (ValueError, binascii.Error):
            return None
        if not isinstance(header, dict) or not isinstance(claims, dict):
            return None
        return cls(header, claims, *parts)

    @property
    def symmetric(self) -> bool:
        """Whether one secret both signs and verifies it."""
        return self.header.get("alg") in _SYMMETRIC


@dataclass(frozen=True)
class Forged:
    """A forged token: of which kind, and in words how it was made."""

    kind: str
    how: str
    token: str = field(repr=False)


def forged(token: str, another: str | None = None, public_keys: Sequence[bytes] = ()) -> Iterator[Forged]:
    """The forgeries that a token allows; nothing for what is no JSON Web Token.

    `another` is a token of another account, whose claims are put under this one's signature. `public_keys`
    are the encodings of the service's public key that a careless service may take for a shared secret.
    """
    jwt = Jwt.parse(token)
    if jwt is None:
        return
    signature = altered(jwt.signature)
    if signature is not None:
        yield Forged(FORGED_SIGNATURE, "its signature was altered", f"{jwt.head}.{jwt.body}.{signature}")
    theirs = Jwt.parse(another) if another is not None else None
    if theirs is not None and theirs.body != jwt.body:
        how = "another account's claims under its signature"
        yield Forged(FORGED_SIGNATURE, how, f"{jwt.head}.{theirs.body}.{jwt.signature}")
    for name in ("none", "None"):
        yield Forged(ALG_NONE, f"alg {name}, no signature", f"{_header(jwt, alg=name)}.{jwt.body}.")
    yield from _confused(jwt, public_keys)


def _confused(jwt: Jwt, public_keys: Sequence[bytes]) -> Iterator[Forged]:
    """Signed by HS256 with what is no secret: the public key, or a key that the token itself brings."""
    if jwt.symmetric:
        return
    for number, key in enumerate(public_keys, 1):
        how = f"signed by HS256 with the public key ({number} of {len(public_keys)} encodings)"
        yield Forged(KEY_CONFUSION, how, _signed(_header(jwt, alg="HS256"), jwt.body, key))
    own = b"a key that the token itself brings"
    header = _header(jwt, alg="HS256", jwk={"kty": "oct", "k": _encoded(own)})
    yield Forged(KEY_CONFUSION, "signed by HS256 with a key in its header", _signed(header, jwt.body, own))


def altered(text: str) -> str | None:
    """An opaque token, or a signature, with a letter or digit in its middle changed; None where it has none.

    Not the last sign: of base64 its low bits may mean nothing. Nor only its case, which hex numbers ignore.
    """
    places = [place for place, sign in enumerate(text) if sign.isalnum()]
    if not places:
        return None
    place = places[(len(places) - 1) // 2]
    other = "B" if text[place] in "aA" else "A"
    return f"{text[:place]}{other}{text[place + 1 :]}"


def altered_token(token: str) -> Forged | None:
    """An opaque token that was altered."""
    text = altered(token)
    return None if text is None else Forged(ALTERED, "one sign of it was changed", text)


def _header(jwt: Jwt, **changes: Any) -> str:
    return _encoded(json.dumps({**jwt.header, **changes}, separators=(",", ":")).encode())


def _signed(head: str, body: str, key: bytes) -> str:
    digest = hmac.new(key, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{_encoded(digest)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
