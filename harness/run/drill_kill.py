"""The drill `kill-migrator`: SIGKILL of the migration at one statement, and a look at what is left.

The tracer, which lives in the migration's process, tells when that statement is due and lets nothing be sent
after it (`mul_tracer/halt.py`); so what is killed has sent exactly what was asked for. A server notices a
dead client only when it next reads from it or writes to it: until then the session goes on with the
statement, and holds its locks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.clock import Sleep, monotonic
from harness.core.counted import counted
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.core.kill_points import KillPoint
from harness.core.schema_shape import Shape, indexes, invalid_indexes
from harness.db.migration import MigrationChild, MigrationOrder
from harness.errors import HarnessError
from harness.run.drills import Make, Noted

__all__ = ["COUNTED", "HALT", "KillMigrator", "KilledChild", "Place", "halted", "kill_point"]

HALT = "MUL_TRACE_HALT"

COUNTED = {HALT: "nowhere"}
"""Variables with which the tracer tells each statement for itself, as it does where it halts."""

ENDED_WITHIN_S = 10.0
"""How long the sessions of a killed client may live on before they are ended."""

LOOK_EVERY_S = 0.1

Records = Sequence[Mapping[str, Any]]


def kill_point(drill: Drill, halfway: int | None) -> KillPoint:
    """The point that a plan asks for; `halfway` is the statement in the middle of a rehearsal."""
    if drill.where in ("statement", "during"):
        return KillPoint("migration", drill.count, "during" if drill.where == "during" else "before")
    if halfway is None:
        raise ValueError(f"{drill.text} needs a rehearsal")
    return KillPoint("migration", halfway, "before")


def halted(point: KillPoint) -> dict[str, str]:
    """The variables that have the tracer halt there."""
    return {HALT: point.halt}


@dataclass(frozen=True)
class Place:
    """What is asked of the database after the kill: which of some sessions live, to end them, what the
    version table holds, to keep the schema's state, what its shape is, and to run statements that mend it.
    All raise a HarnessError when it does not answer.
    """

    living: Callable[[Sequence[int]], Sequence[int]]
    terminate: Callable[[Sequence[int]], object]
    revisions: Callable[[], Sequence[str]]
    keep_schema: Callable[[], object]
    shape: Callable[[], Shape] = dict
    mend: Callable[[Sequence[str]], object] = list


class KilledChild:
    """The migration's process, killed at a point. It has not ended before its sessions have."""

    def __init__(self, child: MigrationChild, point: KillPoint, noted: Noted, place: Place) -> None:
        self.killed = False
        self.seen: dict[str, Any] = {"point": point.point, "statement": point.number, "step": point.step}
        self._child = child
        self._point = point
        self._noted = noted
        self._place = place
        self._killed_at = 0.0
        self._next_look = 0.0
        self._waiting: list[Mapping[str, Any]] = []
        self._sent: list[tuple[str | None, str]] = []
        self._statements = self._sent_later = 0
        self._answered = False

    @property
    def order(self) -> MigrationOrder:
        """What it runs."""
        return self._child.order

    @property
    def backend_pids(self) -> Sequence[int]:
        """Its sessions."""
        return self._child.backend_pids

    @property
    def unreadable(self) -> int:
        """Lines of its trace that could not be read."""
        return self._child.unreadable

    @property
    def unfinished(self) -> str:
        """The SQL that it had sent of the revision at which it was killed."""
        return ";\n".join(sql for revision, sql in self._sent if revision == self.seen.get("revision"))

    def start(self) -> None:
        """Start it."""
        self._child.start()

    def records(self) -> Records:
        """What its tracer wrote since the last call; at the halt it is killed."""
        self._take_in()
        found, self._waiting = self._waiting, []
        return found

    def poll(self) -> int | None:
        """Its exit code once its sessions have ended, too, and what is left was looked at."""
        code = self._child.poll()
        if code is None or self._noted.over:
            return code
        self._take_in()
        if not self.killed:
            self._noted.end(done=False, why=self._why_not(code))
            return code
        return code if self._is_over() else None

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        self._child.kill()

    def stop(
        self, terminate: Callable[[Sequence[int]], object], *, sleep: Sleep
    ) -> tuple[str, Sequence[Mapping[str, Any]]]:
        """End it and its sessions."""
        how, last = self._child.stop(terminate, sleep=sleep)
        self._noted.end(done=False, why=f"the migration was stopped before it was killed {self._point}")
        return how, [*self._waiting, *last]

    def _take_in(self) -> None:
        for record in self._child.records():
            self._waiting.append(record)
            kind = record.get("kind")
            if kind == "begin":
                self._sent_later += self.killed
                self._statements += record.get("step") == "migration"
                self._sent.append((record.get("revision"), str(record.get("sql", ""))))
            elif kind == "halt" and record.get("point") == "answered":
                self._answered = True
            elif kind == "halt" and not self.killed:
                self._kill(record)

    def _kill(self, record: Mapping[str, Any]) -> None:
        self.killed = True
        self._child.kill()
        self._killed_at = monotonic()
        told = {name: record.get(name) for name in ("revision", "sql")}
        self.seen |= told
        self._noted.begin(**{name: self.seen[name] for name in ("point", "statement", "step")}, **told)

    def _why_not(self, code: int) -> str:
        return (
            f"the migration ended with exit code {code} after {counted(self._statements, 'statement')}, and"
            f" never came to {self._point}"
        )

    def _is_over(self) -> bool:
        """Whether its sessions have ended; when they have, what is left is written down."""
        now = monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + LOOK_EVERY_S
        living, why = self._living()
        lived_s = monotonic() - self._killed_at
        if living and lived_s < ENDED_WITHIN_S:
            return False
        if living:
            self._end(living)
        self._look(None if living or why else lived_s, why)
        return True

    def _living(self) -> tuple[Sequence[int], str]:
        """The sessions that still live, or why that cannot be known."""
        try:
            return self._place.living(self._child.backend_pids), ""
        except HarnessError as error:
            return (), str(error)

    def _end(self, pids: Sequence[int]) -> None:
        try:
            self._place.terminate(pids)
        except HarnessError as error:
            self.seen["not_ended"] = str(error)

    def _look(self, gone_s: float | None, why: str) -> None:
        revisions: list[str] | None = None
        try:
            revisions = sorted(self._place.revisions())
            self._place.keep_schema()
        except HarnessError as error:
            why = why or str(error)
        self.seen |= {
            "answered": self._answered,
            "sent_later": self._sent_later,
            "sessions": sorted(self._child.backend_pids),
            "gone_s": gone_s,
            "revisions": revisions,
        }
        self._noted.end(done=not why, why=why, **self.seen)


class KillMigrator:
    """The drill on a migration under traffic: its first attempt is killed, the next is a plain re-run. When
    that fails and the kill left an index in its way, the index is dropped and it is run once more.
    """

    def __init__(self, noted: Noted, place: Place, point: KillPoint) -> None:
        self._noted = noted
        self._place = place
        self._point = point
        self._first: KilledChild | None = None
        self._latest: MigrationChild | None = None
        self._tried_remedy = False
        self._before: Shape = {}

    def child(self, attempt: int, make: Make) -> MigrationChild | KilledChild:
        """The process of an attempt; `make` is given variables to lay over its environment."""
        if attempt > 1:
            self._latest = make({}, "")
            return self._latest
        self._before = self._place.shape()
        self._first = KilledChild(make(halted(self._point), ""), self._point, self._noted, self._place)
        return self._first

    def again(self, attempt: int) -> bool:
        """Whether the attempt that ended was the killed one, or failed for want of a remedy that has been
        applied now.
        """
        if self._first is None or not self._first.killed:
            return False
        if attempt == 1:
            return True
        failed = self._latest is not None and self._latest.poll() not in (0, None)
        return failed and not self._tried_remedy and self._mended()

    def _mended(self) -> bool:
        """Drop the indexes that the kill left; whether there were any, and all are gone."""
        self._tried_remedy = True
        try:
            remedy = [f"DROP INDEX CONCURRENTLY {name}" for name in self._in_the_way()]
            if remedy:
                self._place.mend(remedy)
        except HarnessError as error:
            self._noted.note(Kind.DRILL_REMEDY, drill=self._noted.number, statements=[], failed=str(error))
            return False
        if remedy:
            self._noted.note(Kind.DRILL_REMEDY, drill=self._noted.number, statements=remedy, failed="")
        return bool(remedy)

    def _in_the_way(self) -> list[str]:
        """The new indexes that are INVALID, or that the revision which was killed had sent the making of."""
        now = self._place.shape()
        sent = self._first.unfinished if self._first is not None else ""
        new = indexes(now) - indexes(self._before)
        return sorted(name for name in new if name in invalid_indexes(now) or _names(sent, name))


def _names(text: str, index: str) -> bool:
    """Whether SQL names the index; a catalog's name may have its schema before it."""
    own = index.rpartition(".")[2].strip('"')
    return re.search(rf"(?<!\w){re.escape(own)}(?!\w)", text, re.IGNORECASE) is not None
