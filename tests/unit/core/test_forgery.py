"""Forged tokens: a careful verifier refuses each, one that is careless in just that way takes it."""

from __future__ import annotations

import base64
import json
from collections import Counter

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from harness.core.forgery import Jwt, altered, altered_token, forged

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
ANN = jwt.encode({"sub": "ann"}, KEY, "ES256", headers={"kid": "k1"})
BOB = jwt.encode({"sub": "bob"}, KEY, "ES256", headers={"kid": "k1"})
SHARED = "s" * 32


def test_token_is_taken_apart() -> None:
    token = Jwt.parse(ANN)
    assert token is not None
    assert (token.header["alg"], token.header["kid"], token.claims) == ("ES256", "k1", {"sub": "ann"})
    assert not token.symmetric


@pytest.mark.parametrize(
    "text", ["", "opaque", "a.b", "a.b.c", "..", "W10.W10.W10", "e30.e30.é", "e30.e30.c.d", "e30.e3.c!"]
)
def test_what_is_no_json_web_token_is_not_forged(text: str) -> None:
    assert Jwt.parse(text) is None
    assert list(forged(text, text, [PEM])) == []


def test_every_kind_is_made() -> None:
    kinds = Counter(one.kind for one in forged(ANN, BOB, [PEM, PEM.rstrip()]))
    assert kinds == {"forged_signature": 2, "alg_none": 2, "key_confusion": 3}


def test_without_another_token_and_a_key_fewer_are_made() -> None:
    kinds = Counter(one.kind for one in forged(ANN))
    assert kinds == {"forged_signature": 1, "alg_none": 2, "key_confusion": 1}


def test_a_shared_secret_is_not_confused_with_a_public_key() -> None:
    token = jwt.encode({"sub": "ann"}, SHARED, "HS256")
    assert {one.kind for one in forged(token, None, [PEM])} == {"forged_signature", "alg_none"}


def test_none_of_them_is_taken_by_a_careful_verifier() -> None:
    for one in forged(ANN, BOB, [PEM]):
        with pytest.raises(jwt.PyJWTError):
            jwt.decode(one.token, KEY.public_key(), ["ES256"])


def test_claims_of_another_account_are_put_under_the_signature() -> None:
    [swapped] = [one for one in forged(ANN, BOB) if "another account" in one.how]
    assert jwt.decode(swapped.token, options={"verify_signature": False}) == {"sub": "bob"}
    assert swapped.token.rpartition(".")[2] == ANN.rpartition(".")[2]


def test_the_same_claims_are_not_swapped() -> None:
    assert not [one for one in forged(ANN, ANN) if "another account" in one.how]


def test_token_without_a_signature_names_no_algorithm() -> None:
    tokens = [one.token for one in forged(ANN) if one.kind == "alg_none"]
    assert [jwt.get_unverified_header(token)["alg"] for token in tokens] == ["none", "None"]
    assert all(token.endswith(".") for token in tokens)
    assert jwt.decode(tokens[0], options={"verify_signature": False}) == {"sub": "ann"}


def test_confused_verifier_takes_what_is_signed_with_the_public_key() -> None:
    [confused] = [one for one in forged(ANN, None, [PEM]) if "public key" in one.how]
    head, _, signature = confused.token.rpartition(".")
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    assert algorithm.verify(head.encode(), PEM, jwt.utils.base64url_decode(signature))
    assert jwt.get_unverified_header(confused.token) == {"alg": "HS256", "kid": "k1", "typ": "JWT"}


def test_trusting_verifier_takes_what_is_signed_with_the_key_in_the_header() -> None:
    [own] = [one for one in forged(ANN) if "its header" in one.how]
    header = json.loads(base64.urlsafe_b64decode(own.token.split(".")[0] + "=="))
    secret = base64.urlsafe_b64decode(header["jwk"]["k"] + "==")
    assert jwt.decode(own.token, secret, ["HS256"]) == {"sub": "ann"}


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_altered_text_is_another_of_the_same_length(text: str) -> None:
    found = altered(text)
    if not any(sign.isalnum() for sign in text):
        assert found is None
    else:
        assert found is not None
        assert len(found) == len(text)
        assert found.lower() != text.lower()


def test_an_altered_signature_is_another_signature() -> None:
    for number in range(50):
        token = jwt.encode({"sub": f"ann-{number}"}, SHARED, "HS256")
        [forgery] = [one for one in forged(token) if one.kind == "forged_signature"]
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(forgery.token, SHARED, ["HS256"])


def test_an_opaque_token_is_altered() -> None:
    found = altered_token("3f2a-77aa")
    assert found is not None
    assert (found.kind, found.token) == ("altered_token", "3f2B-77aa")
    assert altered_token("--") is None
    assert found.token not in repr(found)
