"""A run that has nothing to migrate says so, and leaves a record."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from harness.clock import utc_now
from harness.core.facts import migrations_in
from harness.core.migration_plan import MigrationPlan
from harness.db.guard import Identity
from harness.db.migrator import DatabaseMigrator
from harness.errors import NothingToMigrate
from harness.run.databases import Database
from harness.run.steps import Step
from harness.run.without_load import check_there_is_work
from harness.store import RunDirectory
from harness.stored_record import read_record
from tests.fix_several import BILLING, SHOP, several_plan


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
    check_there_is_work(several_plan(), two_steps(False, True), directory)
    assert not (directory.path / "events.ndjson").exists()


def test_a_run_of_several_that_have_nothing_to_do_names_each(tmp_path: Path) -> None:
    directory = RunDirectory.create(several_plan(run_root=str(tmp_path)), utc_now())
    with pytest.raises(NothingToMigrate) as nothing:
        check_there_is_work(several_plan(), two_steps(False, False), directory)
    assert "The database of shop already is at b2" in str(nothing.value)
    assert "The database of billing already is at b2: upgrade b2 has nothing to do." in str(nothing.value)
    migrations = migrations_in(read_record(directory.path))
    assert [(m.name, m.database, m.status) for m in migrations] == [
        (SHOP, "", "nothing"),
        (BILLING, BILLING, "nothing"),
    ]
