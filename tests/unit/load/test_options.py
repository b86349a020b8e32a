"""Flags become a plan; secrets neither come by a flag nor travel."""

from __future__ import annotations

from argparse import Namespace

import pytest
from locust.rpc import Message

from harness.core.plan import Plan
from harness.core.plan_file import parse_plan_file
from harness.errors import UsageError
from harness.load.options import plan_from, plan_of_form, strip_secrets
from tests.unit.load.test_arguments import parser

OWN = ("--host", "http://127.0.0.1:8000", "--alembic-config", "alembic.ini")
URL = "postgresql://app:s3cr3t@127.0.0.1/shop"


def parse(*argv: str, **environment: str) -> Namespace:
    options: Namespace = parser().parse_args(list(argv), env_vars=environment)
    return options


def plan(*argv: str, **environment: str) -> Plan:
    return plan_from(parse(*argv, **environment), argv)


def test_no_flags_make_the_default_plan() -> None:
    assert plan() == Plan(upgrade="safe@head")


def test_a_drill_on_the_rollback_knows_where_the_reference_service_begins() -> None:
    assert plan("--drill", "rollback").downgrade == "v1"
    assert plan("--drill", "rollback", "--downgrade", "base").downgrade == "base"
    with pytest.raises(UsageError, match="not where to"):
        plan("--drill", "rollback", "--alembic-config", "alembic.ini")


def test_invariants_reach_the_plan_and_do_not_travel() -> None:
    options = parse("--invariant", "a: SELECT 1", "--invariant", "b: SELECT 2")
    assert plan_from(options, ()).invariants == ("a: SELECT 1", "b: SELECT 2")
    strip_secrets(options)
    assert options.invariant == []


def test_a_deploy_comes_after_the_migration_unless_said_otherwise() -> None:
    options = parse(*OWN, "--deploy", "roll --all", "--deploy-deadline", "90s", MUL_DATABASE_URL=URL)
    made = plan_from(options, ())
    assert (made.deploy_command, made.deploy_when, made.deploy_deadline_s) == ("roll --all", "after", 90.0)
    strip_secrets(options)
    assert options.deploy is None
    made = plan("--deploy-when", "before", "--instances", "3")
    assert (made.deploy_command, made.deploy_when, made.instances) == (None, "before", 3)
    assert not plan().deploys


def test_every_flag_reaches_the_plan() -> None:
    made = plan(
        *OWN,
        *("--warmup-time", "4s", "--baseline-time", "1m", "--recover-time", "6", "--drain-time", "500ms"),
        *("--probe-time", "3s", "--accounts", "accounts.csv"),
        *("--upgrade", "r2", "--downgrade", "r1", "--prepare", "make seed", "--run-dir", "out"),
        *("--lock-timeout", "500ms", "--statement-timeout", "2s", "--migration-retries", "3"),
        *("--migration-deadline", "2min", "--gate", "p95 < 1s", "--gate", "p99 < 2s", "--no-gate", "stall"),
        *(
            "--require",
            "leaks",
            "--ignore",
            "R1: why",
            "--rows",
            "5",
            "--postgres-bin",
            "/pg",
            "--allow-host",
            "a",
            "--allow-host",
        ),
        *(
            "b",
            "--allow-database",
            "shop",
            "--allow-production",
            "--target-rate",
            "12.5",
            "--arrivals",
            "closed",
            "-u",
            "7",
            "-r",
            "2",
        ),
        MUL_DATABASE_URL=URL,
        MUL_REPLICA_URL=URL.replace("shop", "copy"),
    )
    assert made == Plan(
        host="http://127.0.0.1:8000",
        database_url=URL,
        replica_url=URL.replace("shop", "copy"),
        alembic_config="alembic.ini",
        upgrade="r2",
        downgrade="r1",
        prepare="make seed",
        users=7,
        spawn_rate=2,
        target_rate=12.5,
        arrivals="closed",
        warmup_s=4,
        baseline_s=60,
        recover_s=6,
        probe_s=3,
        accounts="accounts.csv",
        drain_s=0.5,
        lock_timeout="500ms",
        statement_timeout="2s",
        migration_retries=3,
        migration_deadline_s=120,
        gates=("p95 < 1s", "p99 < 2s"),
        no_gates=("stall",),
        required=("leaks",),
        ignore=("R1: why",),
        rows=5,
        postgres_bin="/pg",
        allow_host=("a", "b"),
        allow_database=("shop",),
        allow_production=True,
        run_root="out",
    )


def test_every_flag_has_an_environment_variable() -> None:
    made = plan(MUL_PLACEBO="true", MUL_KEEP_DATABASE="true", MUL_RUN_DIR="elsewhere", MUL_GATE="p95 < 1s")
    assert (made.placebo, made.keep_database, made.run_root) == (True, True, "elsewhere")
    assert plan("--standby").standby
    assert made.gates == ("p95 < 1s",)


@pytest.mark.parametrize(
    ("argv", "upgrade"),
    [
        ((), "safe@head"),
        (OWN, "head"),
        (("--alembic-config", "a.ini"), "head"),
        (("--migration-command", "x"), "head"),
        (("--upgrade", "x"), "x"),
    ],
)
def test_upgrade_depends_on_whose_service_it_is(argv: tuple[str, ...], upgrade: str) -> None:
    environment = {"MUL_DATABASE_URL": URL} if argv == OWN else {}
    assert plan(*argv, **environment).upgrade == upgrade


def test_target_rate_zero_leaves_the_rate_to_the_locustfile() -> None:
    assert plan("--target-rate", "0").target_rate is None


@pytest.mark.parametrize(
    "argv",
    [
        ("--database-url", URL),
        (f"--database-url={URL}",),
        ("--database-url", "postgresql://127.0.0.1/shop?password=s3cr3t"),
        ("--database-url", "host=127.0.0.1 password=s3cr3t"),
    ],
)
def test_password_on_the_command_line_is_refused_unseen(argv: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="MUL_DATABASE_URL") as refusal:
        plan(*OWN, *argv)
    assert "s3cr3t" not in str(refusal.value)


def test_nor_is_a_replicas_password_told_there() -> None:
    with pytest.raises(UsageError, match="MUL_REPLICA_URL") as refusal:
        plan(*OWN, "--replica-url", URL)
    assert "s3cr3t" not in str(refusal.value)


COMMAND = (*OWN, "--migration-command", "flask db upgrade")


def test_a_command_comes_with_its_folder_and_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t")
    made = plan(
        *COMMAND,
        *("--rollback-command", "flask db downgrade", "--downgrade", "r1", "--migration-cwd", "src"),
        *("--migration-env", "A=b=c", "--migration-env", "SHOP_TOKEN", "--migration-env", "EMPTY="),
        *("--expect-from", "r1", "--allow-untraced-database", "shop"),
        MUL_DATABASE_URL=URL,
    )
    assert (made.migration_command, made.rollback_command) == ("flask db upgrade", "flask db downgrade")
    assert (made.migration_cwd, made.expect_from) == ("src", "r1")
    assert made.migration_environment == (("A", "b=c"), ("SHOP_TOKEN", "s3cr3t"), ("EMPTY", ""))
    assert made.allow_untraced_database == ("shop",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("NOWHERE_SET", "the harness's environment has no NOWHERE_SET"),
        ("A B=c", "not a variable's name"),
        ("SHOP_TOKEN=s3cr3t", "give --migration-env SHOP_TOKEN"),
        ("DATABASE_URL=postgresql://app:s3cr3t@127.0.0.1/shop", "give --migration-env DATABASE_URL"),
    ],
)
def test_a_variable_that_is_wrong_or_a_secret_is_refused_unseen(given: str, message: str) -> None:
    for argv in (("--migration-env", given), (f"--migration-env={given}",)):
        with pytest.raises(UsageError, match=message) as refusal:
            plan(*COMMAND, *argv, MUL_DATABASE_URL=URL)
        assert "s3cr3t" not in str(refusal.value)


def test_a_secret_may_come_by_a_variable_of_ours() -> None:
    made = plan(*COMMAND, MUL_DATABASE_URL=URL, MUL_MIGRATION_ENV="[SHOP_TOKEN=s3cr3t, A=b]")
    assert made.migration_environment == (("SHOP_TOKEN", "s3cr3t"), ("A", "b"))


def test_url_without_a_password_may_be_a_flag() -> None:
    assert plan(*OWN, "--database-url", "postgresql://app@127.0.0.1/shop").database_url is not None


@pytest.mark.parametrize(
    ("argv", "flag"),
    [
        (("--run-time", "10s"), "--run-time"),
        (("--baseline-time", "1s"), "--baseline-time"),
        (("--warmup-time", "soon"), "--warmup-time"),
        (("--placebo", "--downgrade", "base"), "--downgrade"),
    ],
)
def test_contradictions_name_their_flag(argv: tuple[str, ...], flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        plan(*argv)


def test_the_form_changes_users_durations_and_revision() -> None:
    options = parse("--users", "5")
    options.warmup_time, options.upgrade = "3s", "unsafe@head"
    changed = plan_of_form(Plan(), options, ("safe@head", "unsafe@head"))
    assert changed == Plan(users=5, warmup_s=3.0, upgrade="unsafe@head")


def test_the_form_offers_known_revisions_only() -> None:
    options = parse()
    options.upgrade = "unheard-of"
    with pytest.raises(UsageError, match="safe@head, unsafe@head"):
        plan_of_form(Plan(), options, ("safe@head", "unsafe@head"))


def test_the_form_cannot_contradict_itself() -> None:
    options = parse()
    options.baseline_time = "1s"
    with pytest.raises(UsageError, match="--baseline-time"):
        plan_of_form(Plan(), options, ("head",))


def test_options_travel_without_secrets() -> None:
    options = parse(
        *(*OWN, "--gate", "p95 < 1s", "--rollback-command", "psql secret", "--migration-env", "A=s3cr3t"),
        MUL_DATABASE_URL=URL,
        MUL_PREPARE="psql secret",
        MUL_MIGRATION_COMMAND="psql secret",
    )
    strip_secrets(options)
    packed = Message("spawn", vars(options), "worker").serialize()
    assert b"s3cr3t" not in packed
    assert b"psql" not in packed


def with_file(text: str, *argv: str, **environment: str) -> Plan:
    file = parse_plan_file(text, "harness.toml")
    assert file is not None
    options: Namespace = parser(file=file).parse_args(list(argv), env_vars=environment)
    return plan_from(options, argv, file)


def test_flags_go_before_variables_and_both_before_the_plan_file() -> None:
    text = "[load]\nusers = 3\ntarget-rate = 9\n[phases]\nwarmup = '3s'\nrecover = '9s'"
    made = with_file(text, "--warmup-time", "5s", MUL_RECOVER_TIME="7s", MUL_WARMUP_TIME="6s")
    assert made == Plan(
        upgrade="safe@head", users=3, target_rate=9.0, warmup_s=5.0, baseline_s=20.0, recover_s=7.0
    )


def test_a_repeated_flag_adds_to_the_files_list() -> None:
    made = with_file("[verdict]\ngates = ['p95 < 1s']", "--gate", "p99 < 2s")
    assert made.gates == ("p95 < 1s", "p99 < 2s")
    assert with_file("[verdict]\ngates = ['p95 < 1s']").gates == ("p95 < 1s",)


def test_a_repeated_flag_allows_more_than_the_file() -> None:
    made = with_file("[safety]\ndatabases = ['shop']", "--allow-database", "billing")
    assert made.allow_database == ("shop", "billing")


def test_a_plan_file_that_locust_names_too_late_is_refused() -> None:
    with pytest.raises(UsageError, match="MUL_PLAN"):
        plan_from(parse("--plan", "late.toml"), ())


SEVERAL = "[[migration]]\nname = 'orders'\n[[migration]]\nname = 'billing'\n"


def test_several_migrations_reach_the_plan() -> None:
    assert [one.name for one in with_file(SEVERAL).steps] == ["orders", "billing"]


@pytest.mark.parametrize("argv", [("--upgrade", "r2"), ("--migration-retries", "2")])
def test_a_flag_for_one_migration_is_refused_beside_several(argv: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"{argv[0]} is given, but harness.toml lists several"):
        with_file(SEVERAL, *argv)


def test_the_database_comes_from_the_variable_that_the_file_names(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[service]\nhost = 'http://127.0.0.1:8000'\ndatabase-url-variable = 'SHOP_URL'"
    text += "\n[migration]\nalembic-config = 'alembic.ini'"
    monkeypatch.setenv("SHOP_URL", URL)
    assert with_file(text).database_url == URL
    assert with_file(text, MUL_DATABASE_URL="postgresql://b@127.0.0.1/b").database_url != URL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[load]\nusers = 500\nspawn-rate = 1",
            "[load] spawn-rate 1 take 500 s to spawn, longer than --warm",
        ),
        ("[phases]\nbaseline = '1s'", "[phases] baseline is 1 seconds"),
        ("[migration]\nlock-timeout = '5s'\nstatement-timeout = '5s'", "[migration] lock-timeout 5s is not"),
        (SEVERAL + "lock-timeout = 'soon'", "Migration billing: [migration] lock-timeout is 'soon'"),
    ],
)
def test_a_contradiction_in_the_file_is_told_in_its_words(text: str, words: str) -> None:
    file = parse_plan_file(text, "harness.toml")
    assert file is not None
    options: Namespace = parser(file=file).parse_args([], env_vars={})
    with pytest.raises(UsageError) as refused:
        plan_from(options, (), file)
    told = file.in_its_words(refused.value, vars(options))
    assert told.message.startswith("harness.toml: ")
    assert words in told.message
