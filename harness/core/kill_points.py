"""Where a migration can be killed: the boundaries of its statements, as a rehearsal shows them.

Of statements of a revision that are the same but for their values, as a backfill in batches has them, the
first, the middle and the last stand for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core.blame import normalised
from harness.core.trace import Statement, Trace

__all__ = ["KillPoint", "halfway", "points_of"]

_FEW = 3
_WRITES = ("insert", "update", "delete")


@dataclass(frozen=True)
class KillPoint:
    """One place. `step` and `number` are as the tracer counts (`mul_tracer/halt.py`): statement `number` of
    `migration` work, or write `number` to the `version` table; `point` is `before` it is sent or `during` its
    run. `represents` is how many statements it stands for; `in_transaction` is None where that is not known.
    """

    step: str
    number: int
    point: str
    revision: str | None = None
    sql: str = ""
    represents: int = 1
    in_transaction: bool | None = None

    @property
    def halt(self) -> str:
        """What the tracer is told."""
        return f"{self.step} {self.number} {self.point}"

    def __str__(self) -> str:
        if self.step == "version":
            return "before the commit"
        return f"{self.point} statement {self.number}"


def points_of(trace: Trace) -> tuple[KillPoint, ...]:
    """Before and during each statement of a revision, and with the version table written but not committed;
    in the order in which a migration comes by. The trace is of one in which each statement is told for
    itself.
    """
    stands_for = _representatives(trace.migration_statements)
    return tuple(_points(trace, stands_for))


def _points(trace: Trace, stands_for: dict[int, int]) -> Iterator[KillPoint]:
    write = 0
    for statement in trace.statements:
        told = statement.revision, " ".join(statement.sql.split())
        inside = statement.transaction is not None
        if statement.n is not None and statement.n in stands_for:
            for point in ("before", "during"):
                yield KillPoint("migration", statement.n, point, *told, stands_for[statement.n], inside)
        elif statement.kind == "version" and _writes(statement):
            write += 1
            yield KillPoint("version", write, "during", *told, in_transaction=inside)


def _representatives(statements: Sequence[Statement]) -> dict[int, int]:
    """The numbers of those that are looked at, each with how many it stands for."""
    alike: dict[tuple[str | None, str], list[int]] = {}
    for statement in statements:
        if statement.n is not None:
            alike.setdefault((statement.revision, normalised(statement.sql)), []).append(statement.n)
    found: dict[int, int] = {}
    for numbers in alike.values():
        if len(numbers) <= _FEW:
            found |= dict.fromkeys(numbers, 1)
        else:
            found |= {numbers[0]: 1, numbers[len(numbers) // 2]: len(numbers) - 2, numbers[-1]: 1}
    return found


def _writes(statement: Statement) -> bool:
    return statement.sql.strip().lower().startswith(_WRITES)


def halfway(trace: Trace) -> int:
    """The number of the statement before which half of them have been sent; 1 where there is but one."""
    return len(trace.migration_statements) // 2 + 1
