"""What is refused before the load."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from harness.clock import utc_now
from harness.core.facts import migrations_in
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.db.guard import Identity
from harness.db.migrator import DatabaseMigrator
from harness.errors import NothingToMigrate, UsageError
from harness.run.databases import Database
from harness.run.preparation import (
    Step,
    _check_start,
    _check_there_is_work,
    _files,
    _steps,
    check,
    check_server_version,
    target_of,
)
from harness.store import RunDirectory, read_record
from tests.fix_several import BILLING, BILLING_URL, SHOP, several_plan


def test_a_server_that_cannot_be_observed_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"PostgreSQL 13 is too old, 14 is the least.*waitstart"):
        check_server_version(Identity("1", 5, 130022, "shop"))


@pytest.mark.parametrize("identity", [Identity("1", 5, 140000, "shop"), None])
def test_fourteen_and_no_database_pass(identity: Identity | None) -> None:
    check_server_version(identity)


@pytest.mark.parametrize(
    ("command", "message"), [("", "names no command"), ("  ", "names no command"), ("'", "cannot be read")]
)
def test_a_preparation_without_a_command_is_refused_in_one_line(command: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        check(Plan(placebo=True, prepare=command))
    assert "\n" not in str(refused.value)


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
    assert _files(MigrationPlan(upgrade="b2"), history) == (Path("upgrade from None to b2"),)
    assert _files(MigrationPlan(upgrade="b2", downgrade="a1"), history) == (
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
    _check_start(MigrationPlan(command="x", expect_from=expected), cast("DatabaseMigrator", At(*at)))


@pytest.mark.parametrize(("at", "said"), [((), "base"), (("a1", "z9"), "a1, z9"), (("z9",), "z9")])
def test_a_database_elsewhere_is_refused_naming_where_it_is(at: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=f"The database is at {said}, not at a1 as --expect-from says"):
        _check_start(MigrationPlan(command="x", expect_from="a1"), cast("DatabaseMigrator", At(*at)))


def test_with_scripts_a_label_may_be_expected() -> None:
    step = MigrationPlan(alembic_config="a.ini", expect_from="main@base")
    _check_start(step, cast("DatabaseMigrator", At("a1")))
    with pytest.raises(UsageError, match="not at main@base"):
        _check_start(step, cast("DatabaseMigrator", At("b2")))


class Arrived:
    """A migrator of a database that is at a revision, which some of the targets have left behind."""

    def __init__(self, revision: str, needs: bool) -> None:
        self.revision, self.needs = revision, needs

    def current(self) -> tuple[str, ...]:
        return (self.revision,)

    def needs_migration(self, _target: str) -> bool:
        return self.needs


def two_steps(*needs: bool) -> list[Step]:
    identity = Identity("1", 5, 180000, "shop")
    return [
        Step(
            MigrationPlan(name, upgrade="b2"),
            Database("" if name == SHOP else name, "postgresql://a@127.0.0.1/x", identity),
            "postgresql://a@127.0.0.1/x",
            cast("DatabaseMigrator", Arrived("b2", needed)),
            (identity,),
        )
        for name, needed in zip((SHOP, BILLING), needs, strict=True)
    ]


def test_a_run_of_several_begins_if_one_of_them_has_something_to_do(tmp_path: Path) -> None:
    directory = RunDirectory.create(several_plan(run_root=str(tmp_path)), utc_now())
    _check_there_is_work(several_plan(), two_steps(False, True), directory)
    assert not (directory.path / "events.ndjson").exists()


def test_a_run_of_several_that_have_nothing_to_do_names_each(tmp_path: Path) -> None:
    directory = RunDirectory.create(several_plan(run_root=str(tmp_path)), utc_now())
    with pytest.raises(NothingToMigrate) as nothing:
        _check_there_is_work(several_plan(), two_steps(False, False), directory)
    assert "The database of shop already is at b2" in str(nothing.value)
    assert "The database of billing already is at b2: upgrade b2 has nothing to do." in str(nothing.value)
    migrations = migrations_in(read_record(directory.path))
    assert [(m.name, m.database, m.status) for m in migrations] == [
        (SHOP, "", "nothing"),
        (BILLING, BILLING, "nothing"),
    ]


def test_none_of_several_may_go_to_the_database_of_another() -> None:
    shop, billing, archive = (Identity("1", oid, 180000, f"db{oid}") for oid in (5, 6, 7))
    found = {
        "postgresql://a@127.0.0.1/shop": Database("", "…", shop, further=(billing, archive)),
        BILLING_URL: Database(BILLING, "…", billing, further=(shop, archive)),
    }
    steps = list(_steps(several_plan(), "postgresql://a@127.0.0.1/shop", found))
    assert [step.allowed for step in steps] == [(shop, archive), (billing, archive)]
