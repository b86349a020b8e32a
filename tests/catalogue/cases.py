"""The known answers: what `expected.toml` says of each revision, and the same told from a trace."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.advice import Advice
from harness.core.locks import MODES, OPERATIONS, blocks, strongest
from harness.core.trace import Lock, Trace

__all__ = ["CASES", "FOLDER", "Case", "Did", "check_advice", "did", "numbers"]

FOLDER = Path(__file__).parent

BLOCKED = {
    "everything": OPERATIONS,
    "writes": ("INSERT", "UPDATE", "DELETE"),
    "inserts": ("INSERT",),
    "nothing": (),
}

_TABLES = ("r", "p", "v", "m")  # pg_class.relkind


@dataclass(frozen=True)
class Did:
    """What a revision did to the relations of the schema, as far as its transactions show it.

    `locks` are the strongest per relation: of tables and views all but ACCESS SHARE, of indexes and sequences
    what is stronger than DML's. `blocked` are the operations on `busy` that had to wait meanwhile.
    """

    locks: Mapping[str, str]
    rewrites: frozenset[str]
    scans: frozenset[str]
    blocked: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One revision and what is known of it.

    `rule` is the advice it deserves, for the statement that begins like `statement`; the one like `blamed`
    holds the lock that others wait for. `red` is how a small load shows it while a client has a transaction
    open: by "waits" of more than a second, by a migration that "failed", or by the SQLSTATE the clients get;
    "" where no such load can. `since` is the oldest PostgreSQL that takes it.
    """

    name: str
    does: Did
    rule: str
    statement: str
    blamed: str
    red: str
    since: int

    @property
    def good(self) -> bool:
        return self.name.endswith("_good")

    def __str__(self) -> str:
        return self.name


def _case(name: str, told: Mapping[str, Any]) -> Case:
    return Case(
        name=name,
        does=Did(
            locks={relation: mode for mode in MODES for relation in told.get(mode, ())},
            rewrites=frozenset(told.get("rewrites", ())),
            scans=frozenset(told.get("scans", ())),
            blocked=BLOCKED[told.get("blocks", "nothing")],
        ),
        rule=told.get("rule", ""),
        statement=told.get("statement", ""),
        blamed=told.get("blamed", told.get("statement", "")),
        red=told.get("red", ""),
        since=told.get("since", 14),
    )


CASES = tuple(_case(*item) for item in tomllib.loads((FOLDER / "expected.toml").read_text()).items())


def did(trace: Trace, relations: Iterable[str]) -> Did:
    """What the tracer saw the migration do to these relations."""
    known = frozenset(relations)
    own = trace.migration_statements
    locks = [lock for statement in own for lock in statement.locks if lock.relation in known]
    return Did(
        locks=_strongest(locks),
        rewrites=frozenset(name for statement in own for name in statement.rewrites) & known,
        scans=frozenset(name for statement in own for name in statement.scans) & known,
        blocked=blocks(locks, "busy"),
    )


def numbers(trace: Trace, beginning: str) -> set[int | None]:
    """The numbers of the migration's statements that begin like that; a retried one has several."""
    return {found.n for found in trace.migration_statements if found.sql.startswith(beginning)}


def check_advice(case: Case, trace: Trace, advice: Sequence[Advice]) -> None:
    """A bad form gets the advice it deserves; nothing about a good one is a finding."""
    if case.good:
        assert [found for found in advice if found.severity == "finding"] == []
    elif case.rule and not (trace.slow and case.does.scans):  # scans that were not read are no evidence
        said = {(found.rule, found.statement) for found in advice}
        assert said & {(case.rule, n) for n in numbers(trace, case.statement)}, said


def _strongest(locks: Iterable[Lock]) -> dict[str, str]:
    found: dict[str, str] = {}
    for lock in locks:
        weakest = "RowShareLock" if lock.kind in _TABLES else "ShareUpdateExclusiveLock"
        if MODES.index(lock.mode) >= MODES.index(weakest):
            found[lock.relation] = strongest([lock.mode, found.get(lock.relation, lock.mode)]) or lock.mode
    return found
