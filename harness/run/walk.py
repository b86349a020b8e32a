"""The walk of `kill-migrator@each`, as a process of its own: kills the migration at every boundary of its
statements, each on a fresh copy, and writes what followed to standard output, a line of JSON for each.

`python -m harness.run.walk` reads its order from standard input and ends when that ends.

Lines: `plan` {statements, places, represented, rehearsal_s}; `cell` for each place; `end` {why}, "" when all
places were walked.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from harness.clock import monotonic, wait_until
from harness.core.counted import counted
from harness.core.kill_points import KillPoint, points_of
from harness.core.schema_shape import Shape, changes, indexes, invalid_indexes
from harness.core.trace import Trace
from harness.db.leftovers import find_leftovers
from harness.db.migration import MigrationOrder
from harness.db.remedies import mend
from harness.db.row_counts import count_rows
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError, SetupError
from harness.run.copies import Copies, RecreatedCopies, SeededCopies
from harness.run.rehearsal import Killed, Rehearsal, read_shape

__all__ = ["Walk", "WalkOrder", "main"]

COUNTED_WITHIN_S = 5.0
"""How long the rows of one table may take to be counted; else rows are not compared."""

MENDED_WITHIN_S = 120.0
"""How long one statement of a remedy may take."""

GONE_WITHIN_S = 2.0
"""How long the sessions of a process that has ended may still be listed."""

Json = dict[str, Any]


@dataclass(frozen=True)
class WalkOrder:
    """What to walk. Of `copies_of` and `seeded_rows` the second is None for the person's own database, which
    is then copied in its place. Secrets are in it: it goes to the process's input and nowhere else.
    """

    copies_of: str = field(repr=False)
    seeded_rows: int | None
    target: str | None
    within_s: float
    migration: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(
        cls,
        order: MigrationOrder,
        copies_of: str,
        seeded_rows: int | None,
        target: str | None,
        within_s: float,
    ) -> WalkOrder:
        """The order for walking `order`'s migration."""
        told = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(order).items()}
        return cls(copies_of, seeded_rows, target, within_s, told)

    @property
    def migration_order(self) -> MigrationOrder:
        """How the migration is run."""
        told = dict(self.migration)
        for name in ("alembic_config", "trace_file", "log_file", "folder"):
            told[name] = None if told[name] is None else Path(told[name])
        told["own_command"] = tuple(told["own_command"])
        return MigrationOrder(**told)


class Walk:
    """`lines()` does the walk and tells of it; `sleep` may raise KeyboardInterrupt to end it."""

    def __init__(self, rehearsal: Rehearsal, copies: Copies, within_s: float) -> None:
        self._rehearsal = rehearsal
        self._copies = copies
        self._within_s = within_s
        self._clean: dict[tuple[str, ...], Shape] = {}
        self._target: tuple[str, ...] = ()
        self._counts = True

    def lines(self) -> Iterator[Json]:
        """The plan, each cell as it is done, and the end. Raises a HarnessError when it cannot begin."""
        began = monotonic()
        trace = self._rehearse()
        points = points_of(trace)
        yield {
            "kind": "plan",
            "statements": len(trace.migration_statements),
            "places": len(points),
            "represented": sum(p.represents - 1 for p in points if p.point == "before"),
            "rehearsal_s": round(monotonic() - began, 3),
            "rows_counted": self._counts,
        }
        for number, point in enumerate(points, 1):
            if monotonic() - began > self._within_s:
                yield {
                    "kind": "end",
                    "why": f"after {self._within_s:g} s {number - 1} of {len(points)} places were walked",
                }
                return
            yield {"kind": "cell", "number": number, **self._cell(point)}
        yield {"kind": "end", "why": ""}

    # what is undisturbed

    def _rehearse(self) -> Trace:
        """Upgrade a copy undisturbed, and learn what the schema is like at each revision on the way."""
        url = self._copies.fresh()
        trace = self._undisturbed(url, None)
        if not trace.complete:
            raise SetupError(f"The migration cannot be walked: {trace.why_incomplete}.")
        self._target = self._rehearsal.migrator(url).current()
        at_target = self._found(url)
        url = self._copies.fresh()
        migrator = self._rehearsal.migrator(url)
        self._clean[migrator.current()] = self._found(url)
        for revision in self._on_the_way(url):
            self._undisturbed(url, revision)
            self._clean[migrator.current()] = self._found(url)
        self._clean[self._target] = at_target
        return trace

    def _found(self, url: str) -> Shape:
        """What there is in a copy, and how many rows of it, as long as they are counted soon."""
        rows: dict[str, int] = {}
        if self._counts:
            try:
                rows = count_rows(DatabaseUrl.parse(url), COUNTED_WITHIN_S)
            except SetupError:
                self._counts = False
        return {**read_shape(url), **{f"rows of {name}": str(count) for name, count in rows.items()}}

    def _differ(self, clean: Shape, found: Shape) -> tuple[str, ...]:
        """What differs; of rows only where both were counted."""
        if self._counts:
            return changes(clean, found)
        return changes(
            *({k: v for k, v in s.items() if not k.startswith("rows of ")} for s in (clean, found))
        )

    def _on_the_way(self, url: str) -> tuple[str, ...]:
        """The revisions that Alembic's own command can be sent to one by one."""
        rehearsal = self._rehearsal
        if rehearsal.target is None or rehearsal.order.own_command:
            return ()
        return rehearsal.migrator(url).path(rehearsal.target)

    def _undisturbed(self, url: str, target: str | None) -> Trace:
        ran = self._rehearsal.upgrade(url, target, counted=target is None)
        if ran.code != 0:
            raise SetupError(
                f"The migration fails on a copy even when nobody disturbs it (exit code {ran.code}).",
                f"Its output is in logs/{self._rehearsal.order.log_file.name}.",
            )
        return ran.trace

    # one place

    def _cell(self, point: KillPoint) -> Json:
        url = self._copies.fresh()
        killed = self._rehearsal.kill(url, point)
        told: Json = {
            "step": point.step,
            "statement": point.number,
            "point": point.point,
            "place": _place(point, killed),
            "revision": point.revision,
            "sql": point.sql,
            "represents": point.represents,
            **{key: value for key, value in killed.seen.items() if key in _SEEN},
        }
        if not killed.seen.get("done"):
            return told
        told["left"] = list(self._left(point, killed, self._found(url)))
        return {**told, **self._again(url, self._extra_indexes(killed))}

    @property
    def _before(self) -> Shape:
        return next(iter(self._clean.values()))

    def _clean_of(self, killed: Killed) -> Shape | None:
        """What there should be at the revision at which it was left, None where that is not known."""
        return self._clean.get(tuple(killed.seen["revisions"] or ()))

    def _extra_indexes(self, killed: Killed) -> list[str]:
        """The indexes that are left beside a known revision."""
        clean = self._clean_of(killed) or self._before
        return sorted(indexes(killed.seen["shape"]) - indexes(clean))

    def _left(self, point: KillPoint, killed: Killed, found: Shape) -> Iterator[str]:
        """What is beside a known revision, in words."""
        revisions = tuple(killed.seen["revisions"] or ())
        clean = self._clean_of(killed)
        if clean is None:
            yield f"the version table says {', '.join(revisions) or 'base'}, a state that is not known"
            clean = self._before
        yield from self._differ(clean, found)
        yield from _stayed(killed.trace, revisions)
        if point.in_transaction is False and point.point == "during" and not killed.seen.get("answered"):
            yield "outside of a transaction: whether it took effect is not known"

    def _again(self, url: str, extra: list[str]) -> Json:
        """Run the same command again; where that does not complete it, once more after the remedy: an index
        that is in its way is dropped, one that it took for a finished one is rebuilt.
        """
        ran = self._rehearsal.upgrade(url)
        wrong = self._wrong(url, ran.code, ran.backends)
        invalid = invalid_indexes(read_shape(url)) - invalid_indexes(self._before)
        in_the_way = extra if ran.code else sorted(invalid)
        form = "DROP INDEX CONCURRENTLY {}" if ran.code else "REINDEX INDEX CONCURRENTLY {}"
        remedy = [form.format(name) for name in in_the_way] if wrong else []
        if remedy:
            mend(DatabaseUrl.parse(url), remedy, MENDED_WITHIN_S)
            ran = self._rehearsal.upgrade(url)
            wrong = self._wrong(url, ran.code, ran.backends)
        return {
            "rerun_code": ran.code,
            "rerun_s": round(ran.seconds, 3),
            "revisions_after": list(self._rehearsal.migrator(url).current()),
            "remedy": remedy,
            "wrong": wrong,
        }

    def _wrong(self, url: str, code: int, backends: tuple[int, ...]) -> list[str]:
        """In what a copy differs from one that was upgraded undisturbed, in words."""
        found = [f"the re-run ended with exit code {code}"] if code else []
        at = self._rehearsal.migrator(url).current()
        if at != self._target:
            found.append(f"it is at {', '.join(at) or 'base'}, not at {', '.join(self._target)}")
        found += self._differ(self._clean[self._target], self._found(url))
        parsed, name = DatabaseUrl.parse(url), self._rehearsal.order.application_name
        gone = wait_until(
            lambda: not find_leftovers(parsed, name, backends),
            GONE_WITHIN_S,
            self._rehearsal.sleep,
            every=0.02,
        )
        if not gone:
            left = find_leftovers(parsed, name, backends)
            sessions, locks = counted(left.sessions, "session"), counted(left.locks, "lock")
            found.append(f"left are {sessions}, {locks} and {left.prepared} prepared")
        return found


_SEEN = ("done", "why", "answered", "sent_later", "gone_s", "revisions", "not_ended")


def _place(point: KillPoint, killed: Killed) -> str:
    if point.step == "migration" and killed.seen.get("answered"):
        return f"after statement {point.number}"
    return str(point)


def _stayed(trace: Trace, revisions: tuple[str, ...]) -> Iterator[str]:
    """The revision of which statements stay committed, though the version table does not name it."""
    applied = {s.revision for s in trace.statements if s.kind == "version" and s.committed_mono is not None}
    left = [
        statement
        for statement in trace.migration_statements
        if statement.committed_mono is not None and statement.revision not in applied.union(revisions)
    ]
    if left:
        number = sum(statement.executions for statement in left)
        yield f"{counted(number, 'statement')} of {left[0].revision}, which is not applied, stayed committed"


def _sleep(seconds: float) -> None:
    """Sleep; the end of standard input is the order to end."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if ready and not os.read(sys.stdin.fileno(), 1):
        raise KeyboardInterrupt


def _copies(order: WalkOrder, log: Path) -> Copies:
    if order.seeded_rows is None:
        return RecreatedCopies(order.copies_of)
    return SeededCopies(order.copies_of, order.seeded_rows, log)


def main(out: TextIO = sys.stdout) -> int:
    """Walk by the order on standard input; 0 when it told of its end, 130 when it was ended."""
    order = WalkOrder(**json.loads(sys.stdin.readline()))
    migration = order.migration_order
    walk = Walk(
        Rehearsal(migration, order.target, _sleep),
        _copies(order, migration.log_file.with_name("walk-seed.log")),
        order.within_s,
    )

    def tell(line: Json) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    try:
        for line in walk.lines():
            tell(line)
    except KeyboardInterrupt:
        return 130
    except HarnessError as error:
        tell({"kind": "end", "why": str(error)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
