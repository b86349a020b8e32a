"""Migrations that lose acknowledged writes without any lock to show for it, and others that only seem to:
what the ledger says of each, with the writes sent at a known statement of the migration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.facts import Facts, facts_of
from harness.core.gates import check_gates
from harness.core.operations import OperationKind
from harness.db.invariants import ask
from tests.catalogue.cases import FOLDER
from tests.catalogue.migrating import Upgrade
from tests.catalogue.notes import Notes, Turnstile

pytestmark = [pytest.mark.integration, pytest.mark.migration]

CREATE, UPDATE, DELETE = OperationKind.CREATE, OperationKind.UPDATE, OperationKind.DELETE


@dataclass(frozen=True)
class Case:
    """A revision, the statement after which the service writes, the kinds of its writes and whether they wait
    for the migration; how many records the ledger finds lost and resurrected; and how many rows break the
    revision's own promise."""

    revision: str
    after: str
    writes: Sequence[OperationKind]
    wait: bool
    lost: int = 0
    resurrected: int = 0
    broken: int = 0

    def __str__(self) -> str:
        return self.revision


LOSSES = (
    Case("write_back", "SELECT notes", (CREATE, UPDATE), wait=False, lost=1),
    Case("copy_swap", "INSERT INTO notes_new", (CREATE, UPDATE, DELETE), wait=False, lost=2, resurrected=1),
)
NO_LOSSES = (
    Case("write_back_locked", "SELECT notes", (UPDATE, DELETE), wait=True),
    Case("copy_swap_locked", "INSERT INTO notes_new", (CREATE, UPDATE, DELETE), wait=True),
    Case("one_statement", "UPDATE notes", (UPDATE, DELETE), wait=True),
    Case("rewrite", "ALTER TABLE notes", (CREATE, UPDATE, DELETE), wait=True),
    Case("derived_column", "UPDATE notes", (CREATE, UPDATE), wait=True, broken=2),
    Case("derived_column_kept", "UPDATE notes", (CREATE, UPDATE), wait=True),
)
PROMISE = "SELECT id FROM notes WHERE slug IS DISTINCT FROM md5(title)"
"""Of the revisions that derive a column: the ledger cannot know of it, `--invariant` is for that."""


@pytest.mark.parametrize("loss", [*LOSSES, *NO_LOSSES], ids=str)
def test_what_the_ledger_says_of_a_migration(loss: Case, database: str, tmp_path: Path) -> None:
    upgrade = an_upgrade(database, loss.revision, tmp_path, loss.after)
    notes = Notes(upgrade)
    keys = {kind: notes.create() for kind in (UPDATE, DELETE)}
    writers = [notes.write(kind, keys.get(kind), 2 if kind == UPDATE else 1) for kind in loss.writes]

    turnstile = Turnstile(database, writers)
    try:
        assert upgrade.run(meanwhile=turnstile.step) == "ok"
    finally:
        turnstile.close()
    notes.record()

    assert turnstile.waited == (len(loss.writes) if loss.wait else 0)
    facts = facts_of(upgrade.record())
    ledger = facts.ledger
    assert ledger.acknowledged == len(keys) + len(loss.writes)
    assert (ledger.lost, ledger.resurrected) == (loss.lost, loss.resurrected), ledger.offenders
    assert (ledger.unexpected, ledger.duplicated, ledger.stale) == (0, 0, 0)
    assert status(facts, "lost_writes") == ("fail" if loss.lost else "pass")
    if loss.revision.startswith("derived_column"):
        assert ask(upgrade.url, PROMISE).rows == loss.broken


def test_a_snapshot_from_before_a_rewrite_sees_an_empty_table_and_nothing_is_lost(
    database: str, tmp_path: Path
) -> None:
    upgrade = an_upgrade(database, "rewrite", tmp_path)
    notes = Notes(upgrade)
    key = notes.create()
    with notes.read(key) as reader:
        assert upgrade.run() == "ok"
    notes.record()
    assert reader.shown == 0
    facts = facts_of(upgrade.record())
    ledger = facts.ledger
    assert (ledger.acknowledged, ledger.reads, ledger.absent) == (1, 1, 1)
    assert (ledger.lost, ledger.stale) == (0, 0), ledger.offenders
    assert [status(facts, name) for name in ("lost_writes", "stale_reads")] == ["pass", "pass"]


def an_upgrade(database: str, revision: str, root: Path, pause_after: str | None = None) -> Upgrade:
    return Upgrade(database, revision, root, FOLDER / "losses.ini", pause_after)


def status(facts: Facts, name: str) -> str:
    [gate] = (gate for gate in check_gates(facts.record.plan) if gate.name == name)
    return gate.result(facts).status
