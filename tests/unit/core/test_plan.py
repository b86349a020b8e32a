"""A plan is checked once, before anything is touched, and hides its secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.core.plan import MigrationPlan, Plan
from harness.errors import UsageError
from tests.fix_record import a_plan

OWN: dict[str, Any] = {
    "host": "http://127.0.0.1:8000",
    "alembic_config": "a.ini",
    "database_url": "postgresql://a@127.0.0.1/x",
}

COMMAND: dict[str, Any] = {**OWN, "alembic_config": None, "migration_command": "flask db upgrade"}


def test_the_default_plan_is_right() -> None:
    Plan().check()


def test_a_plan_for_an_own_service_is_right() -> None:
    Plan(**OWN).check()


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"users": 0}, "--users"),
        ({"rows": -1}, "--rows"),
        ({"migration_retries": -1}, "--migration-retries"),
        ({"warmup_s": -1.0}, "--warmup-time"),
        ({"baseline_s": 4.9}, "--baseline-time"),
        ({"recover_s": 1.0}, "--recover-time"),
        ({"migration_deadline_s": 0.5}, "--migration-deadline"),
        ({"target_rate": 0.0}, "--target-rate"),
        ({"arrivals": "bursty"}, "--arrivals"),
        ({"max_in_flight": 50}, "--max-in-flight"),
        ({"arrivals": "open", "max_in_flight": 29}, "--max-in-flight"),
        ({"arrivals": "open", "target_rate": None}, "--arrivals"),
        ({"arrivals": "poisson", "shape": "Steps"}, "--arrivals"),
        ({"phase_rates": ("migrate=9",), "target_rate": None}, "--phase-rate"),
        ({"phase_rates": ("migrate=9",), "shape": "Steps"}, "--phase-rate"),
        ({"phase_rates": ("migrate=9",), "arrivals": "closed"}, "--phase-rate"),
        ({"phase_rates": ("drain=9",)}, "--phase-rate"),
        ({"target_rate": float("nan")}, "--target-rate"),
        ({"spawn_rate": 0.0}, "--spawn-rate"),
        ({"users": 1000, "spawn_rate": 10.0}, "--warmup-time"),
        ({"placebo": True, "downgrade": "v1"}, "--placebo"),
        ({"drills": ("kill-migrater",)}, "--drill kill-migrater"),
        ({"drills": ("kill-migrator",), "placebo": True}, "a placebo has none"),
        ({"drills": ("kill-migrator", "kill-migrator@each")}, "--drill kill-migrator is given twice"),
        ({"drills": ("kill-migrator", "race-migrators")}, "are of one migration"),
        ({"no_gates": ("stall",), "required": ("stall",)}, "'stall'"),
        ({"ignore": ("add-index",)}, "--ignore 'add-index' gives no reason"),
        ({"ignore": (": ten rows",)}, "gives no rule"),
        ({"lock_timeout": "soon"}, "--lock-timeout"),
        ({"statement_timeout": "5 s; DROP TABLE t"}, "--statement-timeout"),
        ({"database_url": "postgresql://a@127.0.0.1/x"}, "no service"),
        ({**OWN, "keep_database": True}, "--keep-database"),
        ({**OWN, "standby": True}, "MUL_REPLICA_URL"),
        ({"replica_url": "postgresql://a@127.0.0.1/x"}, "--standby for one beside"),
        ({**OWN, "placebo": True, "database_url": None, "replica_url": "x"}, "MUL_DATABASE_URL"),
        ({**OWN, "alembic_config": None}, "migrations"),
        ({**OWN, "database_url": None}, "database"),
        ({"migration_cwd": "src"}, "--migration-cwd is given, but no --migration-command"),
        ({"migration_environment": (("A", "b"),)}, "--migration-env"),
        ({"rollback_command": "flask db downgrade"}, "--rollback-command"),
        ({**COMMAND, "migration_command": "migrate --token abc"}, "--migration-env NAME"),
        ({**COMMAND, "downgrade": "v1"}, "--rollback-command"),
        ({**COMMAND, "rollback_command": "flask db downgrade"}, "--downgrade REV"),
        ({**COMMAND, "upgrade": "safe@head"}, "--upgrade is 'safe@head', which only the migration scripts"),
        ({**COMMAND, "upgrade": "+1"}, "--upgrade"),
        ({**COMMAND, "expect_from": "safe@base"}, "--expect-from"),
        ({"from_dump": "shop.dump"}, "--from-dump"),
        ({"prepare": "true", "recreate_database": True}, "--recreate-database"),
        ({**OWN, "recreate_database": True}, "--recreate-database"),
        ({**OWN, "placebo": True, "database_url": None, "from_dump": "shop.dump"}, "--from-dump"),
        ({**OWN, "prepare": "true", "recreate_database": True, "keep_database": True}, "--keep-database"),
        ({"deploy_when": "during"}, "--deploy-when is 'during'"),
        ({"deploy_when": "after", "deploy_command": "true"}, "--deploy is for your own service"),
        ({**OWN, "deploy_when": "after"}, "--deploy-when is given, but not what deploys"),
        ({**OWN, "deploy_when": "after", "deploy_command": "roll --token abc"}, "--deploy holds a secret"),
        ({"deploy_when": "after", "deploy_deadline_s": 0.5}, "--deploy-deadline"),
        ({"deploy_when": "after", "drills": ("old-code-new-schema",)}, "--drill old-code-new-schema"),
        ({**OWN, "replicas": 2}, "--replicas"),
        ({"replicas": 0}, "--replicas"),
        ({"replicas": 9}, "--replicas"),
    ],
)
def test_a_contradiction_is_refused_by_name_and_with_a_remedy(changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError) as refused:
        a_plan(**changes).check()
    assert flag in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("timeout", ["500ms", "2s", "0", "1 min"])
def test_timeouts_are_written_as_postgresql_does(timeout: str) -> None:
    a_plan(lock_timeout=timeout).check()
    a_plan(statement_timeout=timeout).check()


def test_a_rule_is_ignored_for_a_reason() -> None:
    plan = a_plan(ignore=("add-index: ten rows: it takes a millisecond",))
    plan.check()
    assert plan.ignored == {"add-index": "ten rows: it takes a millisecond"}


def test_a_placebo_of_an_own_service_needs_no_database() -> None:
    Plan(host="http://127.0.0.1:8000", placebo=True).check()


def test_no_secret_leaves_the_plan() -> None:
    plan = a_plan(database_url="postgresql://app:s3cr3t@127.0.0.1/shop")
    assert "s3cr3t" not in repr(plan)
    assert "s3cr3t" not in plan.text()


def test_a_plan_comes_back_from_json() -> None:
    plan = a_plan(gates=("stall < 2s",), required=("stall",))
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_keys_of_newer_versions_are_ignored() -> None:
    assert Plan.from_json({"users": 7, "probe_s": 10.0, "flux": True}) == Plan(users=7)


def test_plan_of_a_version_that_tried_no_sessions_has_no_time_for_it() -> None:
    assert Plan.from_json({"users": 7}).probe_s == 0.0


@pytest.mark.parametrize(("paced", "arrivals"), [(True, "scheduled"), (False, "closed")])
def test_a_plan_from_before_arrivals_had_a_name_tells_them_by_its_users(paced: bool, arrivals: str) -> None:
    assert Plan.from_json({"paced": paced}).arrivals == arrivals


@pytest.mark.parametrize(
    ("changes", "name"),
    [({}, "demo"), ({"placebo": True}, "demo-placebo"), ({"host": "http://127.0.0.1"}, "own")],
)
def test_a_plan_is_named_by_its_service(changes: dict[str, Any], name: str) -> None:
    assert a_plan(**changes).name == name


def test_a_plan_without_a_list_has_one_migration() -> None:
    (only,) = Plan(upgrade="v2", downgrade="v1", lock_timeout="2s").steps
    assert (only.name, only.upgrade, only.downgrade, only.lock_timeout) == ("", "v2", "v1", "2s")


def test_a_command_is_enough_for_an_own_service() -> None:
    Plan(**COMMAND).check()
    Plan(**COMMAND, rollback_command="flask db downgrade", downgrade="base", expect_from="v1").check()
    Plan(**{**COMMAND, "alembic_config": "a.ini"}, upgrade="main@head").check()


def test_a_command_is_a_step_without_its_secrets_in_the_file() -> None:
    plan = Plan(**COMMAND, migration_cwd="src", migration_environment=(("API_SECRET", "hunter2"),))
    (step,) = plan.steps
    assert (step.command, step.cwd, step.scripts_known) == ("flask db upgrade", "src", False)
    assert step.environment == (("API_SECRET", "hunter2"),)
    assert "hunter2" not in plan.text() + repr(plan)
    read = Plan.from_json(json.loads(plan.text()))
    assert read.migration_environment == (("API_SECRET", "***"),)


def test_several_migrations_survive_the_file_without_their_secrets() -> None:
    auth = MigrationPlan(
        "auth", environment=(("API_SECRET", "hunter2"),), database_url="postgresql://a:hunter2@127.0.0.1/auth"
    )
    plan = Plan(migrations=(auth, MigrationPlan("shop")))
    assert "hunter2" not in plan.text()
    read = Plan.from_json(json.loads(plan.text()))
    assert [one.name for one in read.steps] == ["auth", "shop"]
    assert read.steps[0].environment == (("API_SECRET", "***"),)


@pytest.mark.parametrize("prepare", ["restore --token s3cr3t", "psql postgresql://app:s3cr3t@db/shop"])
def test_a_secret_in_the_command_that_prepares_is_refused_unseen(prepare: str) -> None:
    with pytest.raises(UsageError, match=r"--prepare holds a secret.*inherits the environment") as refusal:
        a_plan(prepare=prepare).check()
    assert "s3cr3t" not in str(refusal.value)
    a_plan(prepare="pg_restore --no-password -d shop shop.dump").check()


def test_a_plan_knows_its_secrets() -> None:
    billing = MigrationPlan(
        name="billing",
        database_url="postgresql://app:billing-password@127.0.0.1/billing",
        environment=(("APP_ENV", "staging"), ("BILLING_API_KEY", "hunter2")),
    )
    plan = a_plan(database_url="postgresql://app:shop-password@127.0.0.1/shop", migrations=(billing,))
    assert plan.secrets == {"shop-password", "billing-password", "hunter2"}
    assert a_plan().secrets == set()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retries": -1}, "Migration billing: --migration-retries is -1"),
        ({"deadline_s": 0.5}, "Migration billing: --migration-deadline is 0.5 seconds"),
        ({"lock_timeout": "9s", "statement_timeout": "2s"}, "Migration billing: --lock-timeout 9s"),
        ({"cwd": "x"}, "Migration billing: --migration-cwd"),
    ],
)
def test_what_is_wrong_with_one_of_several_migrations_is_told_with_its_name(
    changes: dict[str, Any], words: str
) -> None:
    migrations = (MigrationPlan(name="orders"), MigrationPlan(name="billing", **changes))
    with pytest.raises(UsageError, match=words):
        a_plan(migrations=migrations).check()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("shop", ""), "Migration 2 of 2 has no name"),
        (("shop", "shop"), "Two migrations are called 'shop'"),
        (("shop", "../b"), "Migration 2 of 2 is called '../b'"),
        (("shop", "a b"), "is called 'a b'"),
    ],
)
def test_several_migrations_are_told_apart_by_usable_names(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        a_plan(migrations=tuple(MigrationPlan(name) for name in names)).check()


def test_several_migrations_with_databases_of_their_own_are_right() -> None:
    first = MigrationPlan("shop", alembic_config="a.ini")
    second = MigrationPlan("billing", alembic_config="b.ini", database_url="postgresql://a@127.0.0.1/b")
    plan = Plan(**{**OWN, "alembic_config": None, "migrations": (first, second)})
    plan.check()
    assert (plan.several, plan.step("billing"), plan.rolls_back) == (True, second, False)


def test_a_migration_without_a_database_is_refused_where_the_run_has_none() -> None:
    one = MigrationPlan("shop", alembic_config="a.ini", database_url="postgresql://a@127.0.0.1/b")
    own = {**OWN, "database_url": None}
    plan = Plan(**{**own, "migrations": (one,)})
    plan.check()
    assert plan.service_database_url == one.database_url
    with pytest.raises(UsageError, match="database"):
        Plan(**{**own, "migrations": (one, MigrationPlan("billing", alembic_config="b.ini"))}).check()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"arrivals": "open"}, 800),
        ({"arrivals": "open", "max_in_flight": 40}, 40),
        ({"arrivals": "open", "target_rate": 1.0}, 30),
        ({"arrivals": "poisson", "phase_rates": ("migrate=200",)}, 2_000),
        ({"arrivals": "open", "target_rate": 9_000.0}, 5_000),
    ],
)
def test_open_arrivals_may_pile_up_for_ten_seconds(changes: dict[str, Any], expected: int | None) -> None:
    assert Plan(**changes).in_flight == expected
