"""A plan file becomes defaults and migrations; whatever is wrong in it is named with its file and key."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.core.plan_file import PlanFile, parse_plan_file
from harness.core.plan_keys import KEYS
from harness.errors import UsageError

SECRET = "hunter2-planted"


def parse(text: str, path: str = "harness.toml") -> PlanFile:
    file = parse_plan_file(text, path)
    assert file is not None
    return file


def no_variable(_: str) -> None:
    return None


def test_values_become_defaults_of_the_flags() -> None:
    file = parse(
        """
        [service]
        host = "http://127.0.0.1:8000"
        [load]
        users = 12
        spawn-rate = 6
        [phases]
        warmup = "4s"
        [migration]
        upgrade = "r2"
        retries = 2
        [verdict]
        gates = ["p95 < 1s"]
        [ignore]
        create-index = "the table has ten rows"
        [safety]
        databases = ["shop"]
        production = true
        """
    )
    assert file.defaults == {
        "host": "http://127.0.0.1:8000",
        "num_users": 12,
        "spawn_rate": 6.0,
        "warmup_time": "4s",
        "upgrade": "r2",
        "migration_retries": 2,
        "gate": ["p95 < 1s"],
        "ignore": ["create-index: the table has ten rows"],
        "allow_database": ["shop"],
        "allow_production": True,
    }


def test_an_empty_file_says_nothing() -> None:
    assert parse("") == PlanFile("harness.toml")


def test_paths_start_at_the_files_folder() -> None:
    text = """
        [load]
        locustfile = "load/locustfile.py"
        [migration]
        alembic-config = "../alembic.ini"
        [verdict]
        run-dir = "/var/runs"
    """
    file = parse(text, "deploy/harness.toml")
    assert file.locustfile == "deploy/load/locustfile.py"
    assert file.defaults == {"alembic_config": "alembic.ini", "run_dir": "/var/runs"}
    assert parse(text).locustfile == "load/locustfile.py"


def test_several_migrations_are_listed_in_order() -> None:
    file = parse(
        """
        [[migration]]
        name = "orders"
        alembic-config = "orders/alembic.ini"
        database-url-variable = "ORDERS_URL"
        deadline = "1m30s"
        retries = 1

        [[migration]]
        name = "billing"
        alembic-config = "billing/alembic.ini"
        lock-timeout = "2s"
        downgrade = "r1"
        """
    )
    url = f"postgresql://app:{SECRET}@127.0.0.1/orders"
    assert file.migrations({"ORDERS_URL": url}.get) == (
        MigrationPlan(
            name="orders",
            alembic_config="orders/alembic.ini",
            database_url=url,
            deadline_s=90.0,
            retries=1,
        ),
        MigrationPlan(
            name="billing", alembic_config="billing/alembic.ini", lock_timeout="2s", downgrade="r1"
        ),
    )
    assert file.defaults == {}


def test_a_pyproject_is_a_plan_file_by_its_table() -> None:
    file = parse(
        "[tool.migrate-under-load.load]\nusers = 3\n[tool.ruff]\nline-length = 80", "a/pyproject.toml"
    )
    assert file.defaults == {"num_users": 3}
    for text in ("[tool.ruff]\nline-length = 80", "tool = 7", ""):
        assert parse_plan_file(text, "pyproject.toml") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[phases]\nwarmpu = '8s'", ("[phases] has no key warmpu", "Did you mean warmup?")),
        ("[phases]\nbaseline_time = '8s'", ("baseline_time", "Did you mean baseline?")),
        ("[load]\nwarmup = '8s'", ("[load] has no key warmup", "[phases] warmup")),
        ("[load]\nzzz = 1", ("[load] has no key zzz", "users, spawn-rate, target-rate")),
        ("[phase]\nwarmup = '8s'", ("no section [phase]", "Did you mean [phases]?")),
        ("users = 7", ("users stands in no section", "[load] users")),
        ("load = 7", ("load is 7", "write [load]")),
        ("migration = [7]", ("migration is a list", "write [migration]")),
        ("[load]\nusers = '7'", ("[load] users is '7'", "a whole number")),
        ("[load]\nusers = true", ("[load] users is true", "a whole number")),
        ("[phases]\nwarmup = 8", ("[phases] warmup is 8", '"8s"')),
        ("[phases]\nwarmup = 'soon'", ("[phases] warmup: 'soon' is not a duration", "30s")),
        ("[verdict]\ngates = 'p95 < 1s'", ("[verdict] gates is 'p95 < 1s'", "a list of texts")),
        ("[verdict]\ngates = [7]", ("[verdict] gates is a list", "a list of texts")),
        ("[safety]\nproduction = 'yes'", ("[safety] production is 'yes'", "true or false")),
        ("[ignore]\ncreate-index = true", ("[ignore] create-index is true", "the reason")),
        ("[ignore]\ncreate-index = ''", ("[ignore] create-index", "the reason")),
        ("[migration]\nname = 'x'", ("[migration] name is for several", "[[migration]]")),
        ("[load]\nusers = ", ("not valid TOML", "line 2")),
        ("[load]\nusers = 1\nusers = 2", ("not valid TOML", "line 3")),
    ],
)
def test_what_is_wrong_is_named_with_the_file_and_a_remedy(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, "ci/harness.toml")
    assert str(refused.value).startswith("ci/harness.toml")
    assert refused.value.remedy
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_pyproject_whose_table_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a table"):
        parse("[tool]\nmigrate-under-load = 7", "pyproject.toml")


@pytest.mark.parametrize(
    "text",
    [
        f"[service]\ndatabase-url = 'postgresql://app:{SECRET}@127.0.0.1/shop'",
        f"[service]\ndatabase-url = 'postgresql://127.0.0.1/shop?password={SECRET}'",
        f"[service]\nhost = 'http://me:{SECRET}@127.0.0.1:8000'",
        f"[service]\nprepare = 'restore --password {SECRET}'",
        f"[verdict]\nrequire = ['postgresql://app:{SECRET}@127.0.0.1/shop']",
        f"[service]\ndatabase-url-variable = 'postgresql://app:{SECRET}@127.0.0.1/shop'",
    ],
)
def test_a_secret_is_refused_unseen(text: str) -> None:
    with pytest.raises(UsageError, match="MUL_DATABASE_URL") as refused:
        parse(text)
    assert SECRET not in str(refused.value)


def test_a_secret_of_a_wrong_type_is_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        parse(f"[load]\nusers = 'postgresql://app:{SECRET}@127.0.0.1/shop'")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("read", [PlanFile.database_url, PlanFile.migrations], ids=["service", "migration"])
def test_a_variable_that_is_not_set_is_named(read: Any) -> None:
    file = parse(
        "[service]\ndatabase-url-variable = 'SHOP_URL'\n"
        "[[migration]]\nname = 'orders'\ndatabase-url-variable = 'SHOP_URL'"
    )
    with pytest.raises(UsageError, match="database-url-variable names SHOP_URL, which is not set") as refused:
        read(file, no_variable)
    assert "export SHOP_URL=" in refused.value.remedy


def test_the_named_variable_holds_the_url() -> None:
    file = parse("[service]\ndatabase-url-variable = 'SHOP_URL'")
    assert (
        file.database_url({"SHOP_URL": "postgresql://a@127.0.0.1/shop"}.get)
        == "postgresql://a@127.0.0.1/shop"
    )
    assert parse("").database_url(no_variable) is None


def test_an_error_about_what_the_file_gave_is_in_its_words() -> None:
    file = parse("[phases]\nwarmup = '1s'\n[load]\nusers = 90")
    error = UsageError(
        "--users 90 take longer than --warmup-time 1s.", "Raise --warmup-time or --spawn-rate."
    )
    told = file.in_its_words(error, {"warmup_time": "1s", "num_users": 7, "spawn_rate": 9.0})
    assert type(told) is UsageError
    assert told.message == "harness.toml: --users 90 take longer than [phases] warmup 1s."
    assert told.remedy == "Raise [phases] warmup or --spawn-rate."


def test_an_error_about_what_a_flag_gave_is_left_alone() -> None:
    error = UsageError("--warmup-time is -1 seconds.")
    assert parse("[phases]\nwarmup = '1s'").in_its_words(error, {"warmup_time": "-1s"}) is error
    assert PlanFile().in_its_words(error, {"warmup_time": "-1s"}) is error


def test_an_error_about_one_of_several_migrations_is_in_the_files_words() -> None:
    file = parse("[[migration]]\nname = 'orders'\n[[migration]]\nname = 'billing'")
    error = UsageError("Migration billing: --lock-timeout 5s is not shorter than --statement-timeout 5s.")
    told = file.in_its_words(error, {"lock_timeout": None})
    assert told.message == (
        "harness.toml: Migration billing: [migration] lock-timeout 5s is not shorter than"
        " [migration] statement-timeout 5s."
    )


@pytest.mark.parametrize("name", ["DB_PASSWORD", "STRIPE_API_KEY", "client_secret"])
def test_a_variable_that_is_by_its_name_a_secret_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"export {name}") as refused:
        parse(f"[migration]\nenv = {{ APP_ENV = 'ci', {name} = '{SECRET}' }}")
    assert SECRET not in str(refused.value)


def test_variables_that_are_no_secrets_become_the_flags() -> None:
    file = parse("[migration]\nenv = { APP_ENV = 'ci', DB_PASSWORD_FILE = '/run/secrets/db' }")
    assert file.defaults == {"migration_env": ["APP_ENV=ci", "DB_PASSWORD_FILE=/run/secrets/db"]}


def test_every_key_can_be_written() -> None:
    samples = {
        "a whole number": "3",
        "a number": "2.5",
        "true or false": "true",
        "a list of texts": '["x"]',
    }
    for key in KEYS:
        value = samples.get(key.kind.expected, '{ A = "b" }' if "table" in key.kind.expected else '"4s"')
        section = "[[migration]]" if key.section == "migration" else f"[{key.section}]"
        text = f"{section}\n{key.name} = {value}"
        assert tomllib.loads(text)
        assert parse(text) != PlanFile("harness.toml"), key
