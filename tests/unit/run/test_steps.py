"""A step of a run: where it leads, where it begins, and which databases it may go to."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.db.guard import Identity
from harness.db.migrator import DatabaseMigrator
from harness.errors import UsageError
from harness.run.databases import Database
from harness.run.steps import check_start, files_of, steps_of, target_of
from tests.fix_several import BILLING, BILLING_URL, several_plan


class History:
    """A migrator whose upgrade leads to `b2`; a downgrade is asked for before the upgrade has run."""

    def after(self, target: str) -> tuple[str, ...]:
        return (target,)

    def files(
        self, target: str, direction: str = "upgrade", start: tuple[str, ...] | None = None
    ) -> tuple[Path, ...]:
        return (Path(f"{direction} from {start} to {target}"),)


def test_the_rollback_undoes_what_the_upgrade_will_have_done() -> None:
    history = cast("DatabaseMigrator", History())
    assert files_of(MigrationPlan(upgrade="b2"), history) == (Path("upgrade from None to b2"),)
    assert files_of(MigrationPlan(upgrade="b2", downgrade="a1"), history) == (
        Path("upgrade from None to b2"),
        Path("downgrade from ('b2',) to a1"),
    )


@pytest.mark.parametrize(
    ("step", "upgrade", "downgrade"),
    [
        (MigrationPlan(upgrade="head", downgrade="a1"), "head", "a1"),
        (MigrationPlan(command="x", upgrade="head"), None, None),
        (MigrationPlan(command="x", upgrade="b2", downgrade="base"), "b2", "base"),
        (MigrationPlan(command="x", upgrade="head", alembic_config="a.ini"), "head", None),
    ],
)
def test_where_a_step_leads(step: MigrationPlan, upgrade: str | None, downgrade: str | None) -> None:
    assert (target_of(step, "upgrade"), target_of(step, "downgrade")) == (upgrade, downgrade)


class At:
    """A database at these revisions, and scripts in which `main@base` is `a1`."""

    def __init__(self, *revisions: str) -> None:
        self.revisions = revisions

    def current(self) -> tuple[str, ...]:
        return self.revisions

    def resolve(self, target: str, _direction: str) -> tuple[str, ...]:
        return ("a1",) if target == "main@base" else (target,)


@pytest.mark.parametrize(
    ("expected", "at"), [(None, ("z9",)), ("a1", ("a1",)), ("base", ()), ("b2, a1", ("a1", "b2"))]
)
def test_a_database_where_it_is_expected_passes(expected: str | None, at: tuple[str, ...]) -> None:
    check_start(MigrationPlan(command="x", expect_from=expected), cast("DatabaseMigrator", At(*at)))


@pytest.mark.parametrize(("at", "said"), [((), "base"), (("a1", "z9"), "a1, z9"), (("z9",), "z9")])
def test_a_database_elsewhere_is_refused_naming_where_it_is(at: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=f"The database is at {said}, not at a1 as --expect-from says"):
        check_start(MigrationPlan(command="x", expect_from="a1"), cast("DatabaseMigrator", At(*at)))


def test_with_scripts_a_label_may_be_expected() -> None:
    step = MigrationPlan(alembic_config="a.ini", expect_from="main@base")
    check_start(step, cast("DatabaseMigrator", At("a1")))
    with pytest.raises(UsageError, match="not at main@base"):
        check_start(step, cast("DatabaseMigrator", At("b2")))


def test_none_of_several_may_go_to_the_database_of_another() -> None:
    shop, billing, archive = (Identity("1", oid, 180000, f"db{oid}") for oid in (5, 6, 7))
    found = {
        "postgresql://a@127.0.0.1/shop": Database("", "…", shop, further=(billing, archive)),
        BILLING_URL: Database(BILLING, "…", billing, further=(shop, archive)),
    }
    steps = list(steps_of(several_plan(), "postgresql://a@127.0.0.1/shop", found))
    assert [step.allowed for step in steps] == [(shop, archive), (billing, archive)]
