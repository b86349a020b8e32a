"""Which databases are guarded, and which are held while a run lasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.plan import MigrationPlan, Plan
from harness.errors import GuardError
from harness.run.databases import check_databases

SHOP = "postgresql://a@127.0.0.1/shop"
BILLING = "postgresql://a@127.0.0.1/billing"

SEVERAL = Plan(
    host="http://127.0.0.1:8000",
    migrations=(
        MigrationPlan("shop", "alembic.ini", database_url=SHOP),
        MigrationPlan("billing", "alembic.ini", database_url=BILLING),
    ),
)


@pytest.mark.parametrize("placebo", [False, True])
def test_a_database_that_only_a_migration_names_is_guarded_in_a_placebo_too(placebo: bool) -> None:
    """It is the service's, which is observed, locked and prepared without any migration."""
    plan = replace(SEVERAL, placebo=placebo)
    with pytest.raises(GuardError, match="database shop .* was not started by the harness"):
        check_databases(replace(plan, allow_database=("billing",)))
    check_databases(replace(plan, allow_database=("shop", "billing")))


def test_a_placebo_does_not_ask_for_the_databases_that_it_leaves_alone() -> None:
    check_databases(replace(SEVERAL, placebo=True, allow_database=("shop",)))
