"""A plan is a value that outlives its file, and hides its secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from tests.fix_record import a_plan


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


def test_a_command_is_a_step_without_its_secrets_in_the_file() -> None:
    plan = Plan(
        migration_command="flask db upgrade",
        migration_cwd="src",
        migration_environment=(("API_SECRET", "hunter2"),),
    )
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
