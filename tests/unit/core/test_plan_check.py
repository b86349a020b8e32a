"""A plan is checked once, before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.errors import UsageError
from tests.fix_record import a_plan

OWN: dict[str, Any] = {
    "host": "http://127.0.0.1:8000",
    "alembic_config": "a.ini",
    "database_url": "postgresql://a@127.0.0.1/x",
}

COMMAND: dict[str, Any] = {**OWN, "alembic_config": None, "migration_command": "flask db upgrade"}


def test_the_default_plan_is_right() -> None:
    check_plan(Plan())


def test_a_plan_for_an_own_service_is_right() -> None:
    check_plan(Plan(**OWN))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"users": 0}, "--users"),
        ({"rows": -1}, "--rows"),
        ({"warmup_s": -1.0}, "--warmup-time"),
        ({"baseline_s": 4.9}, "--baseline-time"),
        ({"recover_s": 1.0}, "--recover-time"),
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
        ({"database_url": "postgresql://a@127.0.0.1/x"}, "no service"),
        ({**OWN, "keep_database": True}, "--keep-database"),
        ({**OWN, "standby": True}, "MUL_REPLICA_URL"),
        ({"replica_url": "postgresql://a@127.0.0.1/x"}, "--standby for one beside"),
        ({**OWN, "placebo": True, "database_url": None, "replica_url": "x"}, "MUL_DATABASE_URL"),
        ({**OWN, "alembic_config": None}, "migrations"),
        ({**OWN, "database_url": None}, "database"),
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
        ({**OWN, "instances": 2}, "--instances"),
        ({"instances": 0}, "--instances"),
        ({"instances": 9}, "--instances"),
    ],
)
def test_a_contradiction_is_refused_by_name_and_with_a_remedy(changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_plan(a_plan(**changes))
    assert flag in str(refused.value)
    assert refused.value.remedy


def test_a_rule_is_ignored_for_a_reason() -> None:
    plan = a_plan(ignore=("add-index: ten rows: it takes a millisecond",))
    check_plan(plan)
    assert plan.ignored == {"add-index": "ten rows: it takes a millisecond"}


def test_a_placebo_of_an_own_service_needs_no_database() -> None:
    check_plan(Plan(host="http://127.0.0.1:8000", placebo=True))


def test_a_command_is_enough_for_an_own_service() -> None:
    check_plan(Plan(**COMMAND))
    check_plan(Plan(**COMMAND, rollback_command="flask db downgrade", downgrade="base", expect_from="v1"))
    check_plan(Plan(**{**COMMAND, "alembic_config": "a.ini"}, upgrade="main@head"))


@pytest.mark.parametrize("prepare", ["restore --token s3cr3t", "psql postgresql://app:s3cr3t@db/shop"])
def test_a_secret_in_the_command_that_prepares_is_refused_unseen(prepare: str) -> None:
    with pytest.raises(UsageError, match=r"--prepare holds a secret.*inherits the environment") as refusal:
        check_plan(a_plan(prepare=prepare))
    assert "s3cr3t" not in str(refusal.value)
    check_plan(a_plan(prepare="pg_restore --no-password -d shop shop.dump"))


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
        check_plan(a_plan(migrations=migrations))


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
        check_plan(a_plan(migrations=tuple(MigrationPlan(name) for name in names)))


def test_several_migrations_with_databases_of_their_own_are_right() -> None:
    first = MigrationPlan("shop", alembic_config="a.ini")
    second = MigrationPlan("billing", alembic_config="b.ini", database_url="postgresql://a@127.0.0.1/b")
    plan = Plan(**{**OWN, "alembic_config": None, "migrations": (first, second)})
    check_plan(plan)
    assert (plan.several, plan.step("billing"), plan.rolls_back) == (True, second, False)


def test_a_migration_without_a_database_is_refused_where_the_run_has_none() -> None:
    one = MigrationPlan("shop", alembic_config="a.ini", database_url="postgresql://a@127.0.0.1/b")
    own = {**OWN, "database_url": None}
    plan = Plan(**{**own, "migrations": (one,)})
    check_plan(plan)
    assert plan.service_database_url == one.database_url
    with pytest.raises(UsageError, match="database"):
        check_plan(Plan(**{**own, "migrations": (one, MigrationPlan("billing", alembic_config="b.ini"))}))
