"""The service's settings come from the environment, and a wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from harness.target.settings import Settings
from harness.target.tokens import new_private_pem

URL = "postgresql://someone:secret@127.0.0.1/db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_usual_form_of_the_url_is_understood(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL.replace("postgresql", scheme))
    settings = Settings.from_environment()
    assert settings.libpq_url == URL
    assert settings.sqlalchemy_url == URL.replace("postgresql", "postgresql+psycopg")


def test_a_missing_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUL_TARGET_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit, match="MUL_TARGET_DATABASE_URL is not set"):
        Settings.from_environment()


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon"])
def test_a_lifetime_that_is_no_positive_whole_number_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_ACCESS_TTL_S", value)
    with pytest.raises(SystemExit, match="MUL_TARGET_ACCESS_TTL_S"):
        Settings.from_environment()


def test_a_signing_key_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pem = new_private_pem()
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_SIGNING_KEY", pem)
    assert Settings.from_environment().signing_key == pem


@pytest.mark.parametrize(
    "key",
    [
        "hunter2",
        new_private_pem()[:-60],
        ec.generate_private_key(ec.SECP384R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode(),
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
        .decode(),
    ],
    ids=["no key", "cut off", "another curve", "encrypted"],
)
def test_what_is_no_signing_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_SIGNING_KEY", key)
    with pytest.raises(SystemExit, match="MUL_TARGET_SIGNING_KEY holds no key to sign with") as refused:
        Settings.from_environment()
    assert key not in str(refused.value)


def test_secrets_stay_out_of_the_representation() -> None:
    shown = repr(Settings(URL, signing_key="private"))
    assert "secret" not in shown
    assert "private" not in shown
    assert "horse" not in shown


@pytest.mark.parametrize(("value", "on"), [("", True), ("1", True), ("0", False)])
def test_comments_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_SQLCOMMENTER", value)
    assert Settings.from_environment().sqlcommenter is on


def test_a_switch_that_is_neither_on_nor_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_SQLCOMMENTER", "yes")
    with pytest.raises(SystemExit, match="MUL_TARGET_SQLCOMMENTER is 'yes'"):
        Settings.from_environment()


def test_a_release_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    assert Settings.from_environment().release == "n"
    monkeypatch.setenv("MUL_TARGET_RELEASE", "n+2")
    with pytest.raises(SystemExit, match="MUL_TARGET_RELEASE"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"role": "auth"}, "MUL_TARGET_CACHE_URL"),
        ({"role": "api", "cache_url": "redis://127.0.0.1"}, "MUL_TARGET_AUTH_URL"),
        ({"role": "auth", "cache_url": "redis://127.0.0.1", "fault": "drop-writes"}, "MUL_TARGET_FAULT"),
    ],
)
def test_a_role_that_lacks_what_joins_it_to_the_other_is_refused(
    settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SystemExit, match=named):
        Settings(URL, **settings).check_role()


def test_through_a_pooler_notifications_need_another_way() -> None:
    with pytest.raises(SystemExit, match="MUL_TARGET_LISTEN_DATABASE_URL"):
        Settings(URL, pooled=True).check_pooler()
    for way in ({"cache_url": "redis://127.0.0.1"}, {"listen_database_url": URL}):
        Settings(URL, pooled=True, **way).check_pooler()  # type: ignore[arg-type]
    Settings(URL).check_pooler()


def test_a_pooler_is_told_of_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    assert not Settings.from_environment().pooled
    monkeypatch.setenv("MUL_TARGET_POOLED", "1")
    monkeypatch.setenv("MUL_TARGET_LISTEN_DATABASE_URL", "postgres://a:secret@127.0.0.1/direct")
    told = Settings.from_environment()
    assert told.pooled
    assert told.listen_url == "postgresql://a:secret@127.0.0.1/direct"
    assert "direct" not in repr(told)


def test_roles_that_have_it_are_not() -> None:
    Settings(URL).check_role()
    Settings(URL, role="auth", cache_url="redis://127.0.0.1").check_role()
    Settings(URL, role="api", cache_url="redis://127.0.0.1", auth_url="http://127.0.0.1").check_role()


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("valkey://:secret@127.0.0.1:6379/0", "redis://:secret@127.0.0.1:6379/0"),
        ("valkeys://cache.example", "rediss://cache.example"),
        ("rediss://cache.example", "rediss://cache.example"),
    ],
)
def test_the_schemes_of_valkey_are_understood(
    monkeypatch: pytest.MonkeyPatch, given: str, taken: str
) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_CACHE_URL", given)
    assert Settings.from_environment().cache_url == taken


def test_what_is_no_url_of_a_cache_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL)
    monkeypatch.setenv("MUL_TARGET_CACHE_URL", "memcached://:secret@127.0.0.1")
    with pytest.raises(SystemExit, match="MUL_TARGET_CACHE_URL") as refused:
        Settings.from_environment()
    assert "secret" not in str(refused.value)


def test_a_migration_finds_its_database_by_the_services_variable_else_by_the_harnesss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MUL_TARGET_DATABASE_URL", raising=False)
    monkeypatch.setenv("MUL_DATABASE_URL", URL)
    assert Settings.of_migration().libpq_url == URL
    monkeypatch.setenv("MUL_TARGET_DATABASE_URL", URL.replace("/db", "/own"))
    assert Settings.of_migration().libpq_url.endswith("/own")
