from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.db.guard import addresses, check_database, check_http_host
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, UsageError

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "db.example": ["192.0.2.7"],
    "prod.example": ["192.0.2.8"],
    "half.example": ["127.0.0.1", "192.0.2.9"],
    "mapped.example": ["::ffff:127.0.0.1"],
}


def resolve(host: str) -> list[str]:
    return NAMES.get(host, [host] if host[0].isdigit() or ":" in host else [])


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


def check(
    url: str,
    ours: bool = False,
    hosts: Sequence[str] = (),
    databases: Sequence[str] = (),
    production: bool = False,
) -> None:
    check_database(
        DatabaseUrl.parse(url),
        started_by_us=ours,
        allow_hosts=hosts,
        allow_databases=databases,
        allow_production=production,
        resolve=resolve,
    )


def check_http(url: str, ours: bool = False, hosts: Sequence[str] = (), production: bool = False) -> None:
    check_http_host(url, started_by_us=ours, allow_hosts=hosts, allow_production=production, resolve=resolve)


@pytest.mark.parametrize(
    ("url", "flag"),
    [
        ("postgresql://db.example/shop", "--allow-host db.example"),
        ("postgresql://localhost/shop?host=prod.example", "--allow-host prod.example"),
        ("postgresql://localhost/shop?hostaddr=192.0.2.7", "--allow-host 192.0.2.7"),
        ("postgresql://localhost,db.example/shop", "--allow-host db.example"),
        ("postgresql://half.example/shop", "--allow-host half.example"),
        ("postgresql://0.0.0.0/shop", "--allow-host 0.0.0.0"),
    ],
)
def test_another_host_is_refused_until_it_is_named(url: str, flag: str) -> None:
    with pytest.raises(GuardError, match="not this machine") as refused:
        check(url, databases=["shop"], production=True)

    assert f"add {flag}." in refused.value.remedy
    assert refused.value.exit_code == 3
    check(url, hosts=[flag.split()[1]], databases=["shop"], production=True)


@pytest.mark.parametrize("near_miss", ["example", "db.example.org", "*", "192.0.2.7", "DB"])
def test_a_host_is_allowed_by_its_exact_name_only(near_miss: str) -> None:
    with pytest.raises(GuardError, match=r"db\.example \(192\.0\.2\.7\)"):
        check("postgresql://db.example/shop", hosts=[near_miss], databases=["shop"])


def test_the_name_does_not_allow_the_address_it_is_overruled_by() -> None:
    with pytest.raises(GuardError, match=r"192\.0\.2\.9"):
        check("postgresql://db.example/shop?hostaddr=192.0.2.9", hosts=["db.example"], databases=["shop"])


def test_a_host_that_does_not_resolve_is_not_known_to_be_this_machine() -> None:
    with pytest.raises(GuardError, match=r"nowhere\.example \(an unknown name here\)") as refused:
        check("postgresql://nowhere.example/shop", databases=["shop"])
    assert "--allow-host nowhere.example" in refused.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/shop",
        "postgresql://127.0.0.1/shop",
        "postgresql://[::1]/shop",
        "postgresql://mapped.example/shop",
        "postgresql://%2Frun%2Fpostgresql/shop",
        "postgresql:///shop",
        "postgresql://localhost/other?dbname=shop",
    ],
)
def test_a_database_of_this_machine_is_refused_until_it_is_named(url: str) -> None:
    with pytest.raises(GuardError, match=r"The database shop .* not started by the harness") as refused:
        check(url, databases=["sho", "shop2", "other"])

    assert "add --allow-database shop." in refused.value.remedy
    check(url, databases=["shop"])


def test_our_own_database_needs_no_flag() -> None:
    check("postgresql://127.0.0.1:45751/product_shop", ours=True)


def test_our_own_url_is_refused_when_the_environment_sends_it_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.7")

    with pytest.raises(GuardError, match=r"192\.0\.2\.7"):
        check("postgresql://127.0.0.1:45751/shop", ours=True)


@pytest.mark.parametrize(
    ("url", "hosts", "databases"),
    [
        ("postgresql://prod.example/shop", ["prod.example"], []),
        ("postgresql://localhost/shop_PROD", [], ["shop_PROD"]),
        ("postgresql://production_app@localhost/shop", [], ["shop"]),
        ("postgresql://localhost/shop?application_name=prod-console", [], ["shop"]),
    ],
)
def test_production_needs_a_flag_of_its_own(url: str, hosts: list[str], databases: list[str]) -> None:
    with pytest.raises(GuardError, match="looks like production") as refused:
        check(url, hosts=hosts, databases=databases)

    assert "add --allow-production." in refused.value.remedy
    check(url, hosts=hosts, databases=databases, production=True)


def test_production_by_environment_needs_the_flag_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", "production")

    with pytest.raises(GuardError, match="looks like production"):
        check("postgresql://localhost", databases=["production"])


def test_a_password_is_neither_judged_nor_shown() -> None:
    check("postgresql://app:prod-s3kr3t@localhost/shop", databases=["shop"])
    with pytest.raises(GuardError) as refused:
        check("postgresql://app:prod-s3kr3t@db.example/shop")

    assert "s3kr3t" not in str(refused.value)


def test_allowing_one_thing_does_not_allow_another() -> None:
    with pytest.raises(GuardError, match="add --allow-host"):
        check("postgresql://prod.example/shop", databases=["shop"], production=True)
    with pytest.raises(GuardError, match="add --allow-database"):
        check("postgresql://localhost/prod", hosts=["localhost"], production=True)


def test_a_list_of_hosts_with_one_on_this_machine_still_needs_the_database() -> None:
    with pytest.raises(GuardError, match="add --allow-database shop"):
        check("postgresql://localhost,db.example/shop", hosts=["db.example"])


@pytest.mark.parametrize("url", ["http://localhost:8000", "https://[::1]:8000/api", "tcp://127.0.0.1:5"])
def test_a_service_on_this_machine_is_allowed(url: str) -> None:
    check_http(url)


@pytest.mark.parametrize("ours", [True, False])
def test_a_service_elsewhere_is_refused_until_it_is_named(ours: bool) -> None:
    with pytest.raises(
        GuardError, match=r"db\.example \(192\.0\.2\.7\), which is not this machine"
    ) as refused:
        check_http("https://db.example/api", ours=ours)

    assert "add --allow-host db.example." in refused.value.remedy
    check_http("https://db.example/api", ours=ours, hosts=["db.example"])


def test_a_service_of_another_protocol_is_guarded_alike() -> None:
    with pytest.raises(GuardError, match=r"add --allow-host db\.example"):
        check_http("tcp://db.example:50051")


def test_a_production_service_needs_a_flag_of_its_own() -> None:
    with pytest.raises(GuardError, match="looks like production"):
        check_http("https://prod.example", hosts=["prod.example"])
    check_http("https://prod.example", hosts=["prod.example"], production=True)


def test_our_own_service_may_say_prod() -> None:
    check_http("http://127.0.0.1:8000/products", ours=True)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://localhost", "http://", "http://[::1", "http://h:s3kr3t"]
)
def test_what_is_not_a_service_url_is_bad_usage(url: str) -> None:
    with pytest.raises(UsageError, match="not an http or https URL") as refused:
        check_http(url)

    assert "s3kr3t" not in str(refused.value)


def test_credentials_in_a_service_url_are_not_shown() -> None:
    with pytest.raises(GuardError) as refused:
        check_http("https://app:s3kr3t@db.example/?token=s3kr3t")

    assert "s3kr3t" not in str(refused.value)


def test_a_numeric_address_resolves_to_itself_without_a_network() -> None:
    assert addresses("127.0.0.1") == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_one_has_no_address(host: str) -> None:
    assert addresses(host or "\x00.invalid") == []
