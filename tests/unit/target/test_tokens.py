"""Tokens are accepted only as they were issued."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.target.tokens import InvalidToken, PublicKey, SigningKey, Tokens, Verifier, new_private_pem

SCOPES = frozenset({"read", "write"})


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens(SigningKey("k1", new_private_pem()), "issuer", "audience")


def changed(token: str, **claims: object) -> str:
    """The token with other claims and its old signature."""
    header, payload, signature = token.split(".")
    content = {**json.loads(base64.urlsafe_b64decode(payload + "==")), **claims}
    encoded = (
        base64.urlsafe_b64encode(json.dumps(content, separators=(",", ":")).encode()).rstrip(b"=").decode()
    )
    return f"{header}.{encoded}.{signature}"


def test_a_token_says_who_may_do_what_and_until_when(tokens: Tokens) -> None:
    now = time.time()
    claims = tokens.verify(tokens.issue("alice", SCOPES, now, 60))
    assert (claims.account, claims.scopes, claims.expires_at) == ("alice", SCOPES, int(now) + 60)


def test_two_tokens_of_one_second_have_ids_of_their_own(tokens: Tokens) -> None:
    now = time.time()
    issued = [tokens.verify(tokens.issue("alice", SCOPES, now, 60)) for _ in range(2)]
    assert issued[0].token_id != issued[1].token_id


def test_an_expired_token_is_refused(tokens: Tokens) -> None:
    with pytest.raises(InvalidToken, match="expired"):
        tokens.verify(tokens.issue("alice", SCOPES, time.time() - 61, 60))


@pytest.mark.parametrize("other", [("somebody", "audience"), ("issuer", "somebody")])
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(
    tokens: Tokens, other: tuple[str, str]
) -> None:
    with pytest.raises(InvalidToken):
        tokens.verify(Tokens(tokens.key, *other).issue("alice", SCOPES, time.time(), 60))


def test_a_token_signed_with_another_key_is_refused(tokens: Tokens) -> None:
    forger = Tokens(SigningKey("k1", new_private_pem()), "issuer", "audience")
    with pytest.raises(InvalidToken):
        tokens.verify(forger.issue("alice", SCOPES, time.time(), 60))


def test_changed_claims_are_refused(tokens: Tokens) -> None:
    token = tokens.issue("alice", SCOPES, time.time(), 60)
    assert tokens.verify(changed(token)) == tokens.verify(token)
    with pytest.raises(InvalidToken):
        tokens.verify(changed(token, sub="bob"))


def test_an_unsigned_token_is_refused(tokens: Tokens) -> None:
    claims = jwt.decode(tokens.issue("alice", SCOPES, time.time(), 60), options={"verify_signature": False})
    with pytest.raises(InvalidToken):
        tokens.verify(jwt.encode(claims, "", algorithm="none"))


def test_the_public_key_is_no_shared_secret(tokens: Tokens) -> None:
    """A token signed by HMAC with the public key as the secret: the confusion of asymmetric and symmetric."""
    public_pem = tokens.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = tokens.issue("alice", SCOPES, time.time(), 60)
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    signed = header + b"." + token.split(".")[1].encode()
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = signed + b"." + base64.urlsafe_b64encode(signature.sign(signed, public_pem)).rstrip(b"=")
    with pytest.raises(InvalidToken):
        tokens.verify(forged.decode())


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "jti", "scope"])
def test_every_claim_is_required(tokens: Tokens, name: str) -> None:
    claims = jwt.decode(tokens.issue("alice", SCOPES, time.time(), 60), options={"verify_signature": False})
    del claims[name]
    with pytest.raises(InvalidToken):
        tokens.verify(jwt.encode(claims, tokens.key.private, "ES256"))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "." * 5])
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidToken):
        tokens.verify(token)


@pytest.mark.parametrize(("claim", "value"), [("scope", 5), ("jti", "no-uuid"), ("sub", 7)])
def test_a_claim_of_another_kind_is_refused(tokens: Tokens, claim: str, value: object) -> None:
    claims = jwt.decode(tokens.issue("alice", SCOPES, time.time(), 60), options={"verify_signature": False})
    with pytest.raises(InvalidToken):
        tokens.verify(jwt.encode({**claims, claim: value}, tokens.key.private, "ES256"))


def test_the_key_set_verifies_tokens_and_keeps_the_private_half(tokens: Tokens) -> None:
    (key,) = tokens.key.jwks()["keys"]
    assert (key["kid"], key["alg"], key["use"]) == ("k1", "ES256", "sig")
    assert "d" not in key
    token = tokens.issue("alice", SCOPES, time.time(), 60)
    assert jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience="audience")["sub"] == "alice"


def test_who_has_the_key_set_alone_verifies_as_who_has_the_key(tokens: Tokens) -> None:
    verifier = Verifier(PublicKey.published(tokens.key.jwks()), "issuer", "audience")
    assert verifier.verify(tokens.issue("alice", SCOPES, time.time(), 60)).account == "alice"
    stranger = Tokens(SigningKey("k1", new_private_pem()), "issuer", "audience")
    with pytest.raises(InvalidToken):
        verifier.verify(stranger.issue("alice", SCOPES, time.time(), 60))


@pytest.mark.parametrize(
    "key_set",
    [
        {},
        [],
        {"keys": []},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]},
        {"keys": [{"kty": "EC", "crv": "P-256"}]},
    ],
)
def test_what_is_no_key_set_is_refused(key_set: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        PublicKey.published(key_set)
