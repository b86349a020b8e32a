"""The reference service lets in who it should, and nobody else."""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from collections.abc import Callable

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.target.tokens import SigningKey, Tokens, new_private_pem
from tests.fix_target import PASSWORD, Client, Service

pytestmark = pytest.mark.integration

READ = frozenset({"read"})


def expired(service: Service) -> str:
    return service.tokens().issue("account-0001", READ, time.time() - 11, 10)


def wrong_audience(service: Service) -> str:
    return service.tokens(audience="somebody-else").issue("account-0001", READ, time.time(), 60)


def wrong_issuer(service: Service) -> str:
    return service.tokens(issuer="somebody-else").issue("account-0001", READ, time.time(), 60)


def forged_signature(service: Service) -> str:
    tokens = service.tokens()
    forger = Tokens(SigningKey(tokens.key.key_id, new_private_pem()), tokens.issuer, tokens.audience)
    return forger.issue("account-0001", READ, time.time(), 60)


def unsigned(service: Service) -> str:
    return jwt.encode(_claims(service), "", algorithm="none")


def signed_with_the_public_key(service: Service) -> str:
    """HMAC with the published key as the secret, by hand: PyJWT refuses to."""
    key = service.tokens().key
    public_pem = key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    payload = service.tokens().issue("account-0001", READ, time.time(), 60).split(".")[1]
    signed = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=") + b"." + payload.encode()
    signature = base64.urlsafe_b64encode(hmac.digest(public_pem, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


def of_nobody(service: Service) -> str:
    return service.tokens().issue("no-such-account", READ, time.time(), 60)


def with_swapped_account(service: Service) -> str:
    header, payload, signature = service.tokens().issue("account-0001", READ, time.time(), 60).split(".")
    claims = base64.urlsafe_b64decode(payload + "==").replace(b"account-0001", b"account-0002")
    return f"{header}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{signature}"


def no_token(service: Service) -> str:
    return "nonsense"


BAD_TOKENS = [
    expired,
    wrong_audience,
    wrong_issuer,
    forged_signature,
    unsigned,
    signed_with_the_public_key,
    of_nobody,
    with_swapped_account,
    no_token,
]


def _claims(service: Service) -> dict[str, object]:
    token = service.tokens().issue("account-0001", READ, time.time(), 60)
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_a_bad_token_is_answered_401(service: Service, bad: Callable[[Service], str]) -> None:
    answer = service.anonymous.with_token(bad(service)).get("/wallets")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_no_token_is_answered_401(service: Service) -> None:
    assert service.anonymous.get("/documents").status == 401
    assert service.anonymous.post("/transfers", {}).status == 401


def test_the_tokens_that_tests_sign_are_good_otherwise(service: Service) -> None:
    token = service.tokens().issue("account-0001", READ, time.time(), 60)
    assert service.anonymous.with_token(token).get("/wallets").status == 200


def test_a_missing_scope_is_answered_403(service: Service) -> None:
    reader = service.sign_in("account-0002", "read")
    writer = service.sign_in("account-0002", "write")
    assert reader.post("/documents", {"id": str(uuid.uuid4()), "title": "t", "body": "b"}).status == 403
    assert writer.get("/documents").status == 403
    assert writer.post("/migration-events", {"status": "started"}).status == 403


def test_a_scope_the_account_may_not_have_is_not_granted(service: Service) -> None:
    assert service.request_token("account-0002", "read migration_test").status == 400
    assert service.request_token("operator", "migration_test").status == 200


@pytest.mark.parametrize(("name", "password"), [("account-0001", "wrong password"), ("nobody", PASSWORD)])
def test_a_wrong_name_or_password_is_answered_401(service: Service, name: str, password: str) -> None:
    assert service.request_token(name, password=password).status == 401


def test_a_name_is_registered_once(service: Service) -> None:
    registration = {"name": f"twice-{uuid.uuid4().hex}", "password": PASSWORD}
    assert service.anonymous.post("/register", registration).status == 201
    assert service.anonymous.post("/register", registration).status == 409


def test_a_token_lives_as_long_as_the_settings_say(service: Service) -> None:
    granted = service.request_token("account-0003").json
    claims = jwt.decode(granted["access_token"], options={"verify_signature": False})
    assert granted["expires_in"] == claims["exp"] - claims["iat"] == 77
    assert set(granted["scope"].split()) == {"read", "write"}


def test_the_published_keys_verify_tokens(service: Service) -> None:
    token = service.request_token("account-0003").json["access_token"]
    (key,) = service.anonymous.get("/.well-known/jwks.json").json["keys"]
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    assert jwt.decode(token, jwt.PyJWK(key), ["ES256"], audience="documents")["sub"] == "account-0003"


def test_a_refresh_token_works_once(service: Service) -> None:
    first = service.request_token("account-0003", "read").json
    again = {"refresh_token": first["refresh_token"]}
    second = service.anonymous.post("/token/refresh", again)
    assert (second.status, second.json["scope"]) == (200, "read")
    assert service.anonymous.with_token(second.json["access_token"]).get("/wallets").status == 200
    assert service.anonymous.post("/token/refresh", again).status == 401
    assert second.json["refresh_token"] != first["refresh_token"]


def test_an_expired_refresh_token_is_answered_401(service: Service) -> None:
    """As if its day were over."""
    name = f"late-{uuid.uuid4().hex}"
    assert service.anonymous.post("/register", {"name": name, "password": PASSWORD}).status == 201
    granted = service.request_token(name).json
    with psycopg.connect(service.database_url) as connection:
        connection.execute(
            "UPDATE refresh_tokens SET expires_at = now() FROM accounts WHERE account_id = id AND name = %s",
            [name],
        )
    assert service.anonymous.post("/token/refresh", {"refresh_token": granted["refresh_token"]}).status == 401


def test_a_revoked_token_is_refused_by_every_process(service: Service, account: Client) -> None:
    assert account.get("/wallets").status == 200
    assert service.anonymous.post("/token/revoke", {"token": account.token}).status == 200
    assert {account.get("/wallets").status for _ in range(12)} == {401}


def test_a_revoked_refresh_token_is_refused(service: Service) -> None:
    refresh_token = service.request_token("account-0003").json["refresh_token"]
    assert service.anonymous.post("/token/revoke", {"token": refresh_token}).status == 200
    assert service.anonymous.post("/token/refresh", {"refresh_token": refresh_token}).status == 401


def test_health_says_how_the_processes_hear_of_one_another(service: Service) -> None:
    assert service.anonymous.get("/health").json["notifications"] == "LISTEN/NOTIFY"


def test_revoking_what_is_no_token_is_no_error(service: Service) -> None:
    assert service.anonymous.post("/token/revoke", {"token": "nonsense"}).status == 200
