from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from harness.db.url import DatabaseUrl
from harness.errors import UsageError

SECRET = "s3kr3t"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "POSTGRESQL"]
    + [f"postgresql+{driver}" for driver in ("asyncpg", "psycopg", "psycopg2", "psycopg_async")],
)
def test_every_form_people_write_is_understood(scheme: str) -> None:
    url = DatabaseUrl.parse(f"{scheme}://app:{SECRET}@db.example:6432/shop?sslmode=require")

    assert conninfo_to_dict(url.libpq()) == {
        "host": "db.example",
        "port": "6432",
        "user": "app",
        "password": SECRET,
        "dbname": "shop",
        "sslmode": "require",
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("mysql://root@localhost/shop", "mysql is not PostgreSQL"),
        ("sqlite:///shop.db", "sqlite is not PostgreSQL"),
        ("postgresql+pg8000://localhost/shop", "pg8000"),
        ("localhost/shop", "does not start with postgresql://"),
        ("", "does not start with postgresql://"),
        ("postgresql://localhost/shop?pool_size=5", "'pool_size'"),
        ("postgresql://localhost/shop?host=a&host=b", "host twice"),
        ("postgresql://localhost/shop?host=a&h%6Fst=b", "host twice"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        DatabaseUrl.parse(text)

    assert named in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://app:x@{SECRET}@localhost/shop",
        f"postgresql://app:x/{SECRET}@localhost/shop",
        f"postgresql://app:x#{SECRET}@localhost/shop",
        f"postgresql://app:x?{SECRET}@localhost/shop",
        f"postgresql://app:x {SECRET}@localhost/shop",
        f"postgresql://app:%zz{SECRET}@localhost/shop",
        f"postgresql://app:{SECRET}/shop",
        f"postgresql://app:{SECRET}@[::1/shop",
        f"postgresql://app:{SECRET}@localhost:port/shop",
        f"postgresql://app:{SECRET}@localhost:99999/shop",
        f"mysql://app:{SECRET}@localhost/shop",
        f"app:{SECRET}@localhost/shop",
        f"host=localhost password={SECRET}",
        f"postgresql://localhost/shop?password={SECRET}&pool_size=5",
    ],
)
def test_a_malformed_url_is_refused_without_showing_the_password(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        DatabaseUrl.parse(text)

    assert SECRET not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://app:{SECRET}@db.example:6432/shop",
        f"postgresql://app@db.example:6432/shop?password={SECRET}",
        f"postgresql://app@db.example:6432/shop?sslpassword={SECRET}",
    ],
)
def test_no_form_of_display_shows_a_secret(text: str) -> None:
    url = DatabaseUrl.parse(text)

    assert SECRET not in f"{url} {url!r} {url.masked}"
    assert "app" in url.masked
    assert "db.example:6432/shop" in url.masked


def test_the_masked_url_reads_like_the_original() -> None:
    text = "postgresql://app:pw@a.example:6432,b.example:6433/shop?sslmode=require"

    assert str(DatabaseUrl.parse(text)) == text.replace("pw", "***")


def test_sqlalchemy_reads_the_same_as_libpq() -> None:
    text = "postgres://ap%40p:p%2Fw%3A%25@[::1]:6432/sh%20op?sslmode=require&application_name=a%20b"

    read = make_url(DatabaseUrl.parse(text).sqlalchemy("psycopg2"))

    assert read.drivername == "postgresql+psycopg2"
    assert (read.username, read.password, read.host, read.port) == ("ap@p", "p/w:%", "::1", 6432)
    assert read.database == "sh op"
    assert dict(read.query) == {"sslmode": "require", "application_name": "a b"}


def test_sqlalchemy_gets_several_hosts_as_parameters() -> None:
    read = make_url(DatabaseUrl.parse("postgresql://app@a:1,b:2/shop").sqlalchemy())

    assert read.host is None
    assert dict(read.query) == {"host": "a,b", "port": "1,2"}


def test_sqlalchemy_gets_a_socket_folder_as_a_parameter() -> None:
    read = make_url(DatabaseUrl.parse("postgresql://app@%2Frun%2Fpg/shop").sqlalchemy())

    assert (read.host, dict(read.query)) == (None, {"host": "/run/pg"})


def test_a_host_parameter_wins_over_the_host_in_the_authority() -> None:
    resolved = DatabaseUrl.parse("postgresql://localhost/shop?host=prod.example").resolved()

    assert (resolved.hosts, resolved.peers, resolved.dbname) == (("prod.example",), ("prod.example",), "shop")


def test_every_host_of_a_list_is_resolved() -> None:
    resolved = DatabaseUrl.parse("postgresql://app@localhost:6432,b.example:6433/shop").resolved()

    assert resolved.peers == ("localhost", "b.example")
    assert (resolved.port, resolved.user) == (6432, "app")


def test_an_address_wins_over_the_host() -> None:
    resolved = DatabaseUrl.parse("postgresql://localhost/shop?hostaddr=192.0.2.7").resolved()

    assert (resolved.hosts, resolved.peers) == (("localhost",), ("192.0.2.7",))


def test_the_environment_redirects_a_harmless_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.7")

    assert DatabaseUrl.parse("postgresql://localhost/shop").resolved().peers == ("192.0.2.7",)


def test_the_environment_completes_an_empty_url(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "db.example",
        "PGDATABASE": "shop",
        "PGUSER": "app",
        "PGPORT": "6432",
    }.items():
        monkeypatch.setenv(name, value)

    resolved = DatabaseUrl.parse("postgresql://").resolved()

    assert (resolved.peers, resolved.port) == (("db.example",), 6432)
    assert (resolved.dbname, resolved.user) == ("shop", "app")


@pytest.mark.parametrize("by_url", [True, False])
def test_a_service_file_is_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_url: bool) -> None:
    services = tmp_path / "services.conf"
    services.write_text("[acme]\nhost=svc.example\nport=7777\ndbname=svc_db\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    if not by_url:
        monkeypatch.setenv("PGSERVICE", "acme")

    resolved = DatabaseUrl.parse(f"postgresql://{'?service=acme' if by_url else ''}").resolved()

    assert (resolved.peers, resolved.port, resolved.dbname) == (("svc.example",), 7777, "svc_db")


def test_an_unknown_service_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    services = tmp_path / "services.conf"
    services.write_text("[acme]\nhost=svc.example\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    with pytest.raises(UsageError, match='"nope" not found'):
        DatabaseUrl.parse("postgresql://?service=nope").resolved()


def test_hosts_and_addresses_that_do_not_pair_are_refused() -> None:
    with pytest.raises(UsageError, match="could not match 2 host names"):
        DatabaseUrl.parse("postgresql://a,b/shop?hostaddr=192.0.2.7").resolved()


def test_without_a_host_the_peer_is_the_local_socket() -> None:
    assert DatabaseUrl.parse("postgresql:///shop").resolved().peers == ("",)


def test_what_is_resolved_holds_no_password() -> None:
    assert SECRET not in repr(DatabaseUrl.parse(f"postgresql://app:{SECRET}@localhost/shop").resolved())


def test_another_database_of_the_same_server() -> None:
    url = DatabaseUrl.parse(f"postgresql://app:{SECRET}@127.0.0.1:5433/shop?sslmode=require")
    other = url.at("postgres")
    assert conninfo_to_dict(other.libpq()) == {**conninfo_to_dict(url.libpq()), "dbname": "postgres"}
    assert other.resolved().dbname == "postgres"
    assert SECRET not in str(other)


def test_what_a_program_is_told_by_its_environment_and_by_its_arguments() -> None:
    url = DatabaseUrl.parse(f"postgresql://app:{SECRET}@127.0.0.1:5433/shop?keepalives=0")
    assert url.environment() == {
        "PGHOST": "127.0.0.1",
        "PGPORT": "5433",
        "PGUSER": "app",
        "PGPASSWORD": SECRET,
        "PGDATABASE": "shop",
    }
    shown = conninfo_to_dict(url.without_secrets())
    assert SECRET not in url.without_secrets()
    assert (shown["dbname"], shown["keepalives"]) == ("shop", "0")
