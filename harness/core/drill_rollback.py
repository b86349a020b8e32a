"""The drill `rollback`, judged: what the way back under traffic brought back of the schema and the rows.

A: all of it. B: all of it, after more than one attempt, or something harmless was left behind. D: the
rollback failed, or something is gone or other than it was.
"""

from __future__ import annotations

from harness.core.counted import counted
from harness.core.drill_events import Told
from harness.core.drills import DrillResult, Grade
from harness.core.facts import Facts
from harness.core.migrations import Migration
from harness.core.round_trip import RoundTrip, round_trips, unread_of
from harness.core.verdict import rounded

__all__ = ["grade_rollback"]


def grade_rollback(told: Told, facts: Facts) -> DrillResult:
    """The result of the rollback of a run."""
    migration = next(iter(facts.in_phase("rollback")), None)
    trip = next(iter(round_trips(facts)), None)
    if migration is None or trip is None:
        return told.ungraded("its rollback is not on record")
    gone = [finding.what for finding in trip.findings if finding.red]
    gone += [loss.what for loss in trip.losses if loss.red]
    left = [finding.what for finding in trip.findings if not finding.red]
    grade, why = _graded(migration, trip, gone, left)
    return told.result(
        grade,
        why,
        migration.end_at if grade in ("A", "B") else None,
        {
            "not_brought_back": gone,
            "left_behind": left,
            "rows_compared": sum(table.compared for table in trip.contents.tables) if trip.contents else None,
            "attempts": migration.attempts,
            "took_s": rounded(migration.process_s),
        },
    )


def _graded(
    migration: Migration, trip: RoundTrip, gone: list[str], left: list[str]
) -> tuple[Grade | None, str]:
    if migration.status in ("failed", "deadline"):
        return "D", migration.message or f"it ended as {migration.status}"
    if trip.why_not:
        return None, trip.why_not
    if gone:
        return "D", f"not brought back: {_some(gone)}"
    if why := trip.why_no_schema or "; ".join(unread_of(trip)[:3]):
        return None, why
    if migration.attempts > 1:
        return "B", f"it took {migration.attempts} attempts"
    return ("B", f"left behind: {_some(left)}") if left else ("A", f"{_rows(trip)} and the schema came back")


def _rows(trip: RoundTrip) -> str:
    tables = trip.contents.tables if trip.contents else ()
    rows = sum(table.compared for table in tables)
    return f"{counted(rows, 'row')} of {counted(len(tables), 'table')}"


def _some(what: list[str], most: int = 3) -> str:
    more = f"; and {len(what) - most} more" if len(what) > most else ""
    return "; ".join(text.rstrip(".") for text in what[:most]) + more
