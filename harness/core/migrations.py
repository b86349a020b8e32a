"""Migrations: what each episode of the run was ordered to do, what its tracer saw, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from harness.core.attempts import with_attempts
from harness.core.events import Event, Kind
from harness.core.observation import BackendSeen, Held
from harness.core.timeline import Episode
from harness.core.trace import Lock, Statement, Trace
from harness.core.trace_fold import build
from harness.core.verdict import safe_text

__all__ = ["Migration", "databases_of", "migrations_of"]


@dataclass(frozen=True)
class Migration:
    """One episode. `zero` is the monotonic clock at the start of the run; `status` is None when its end is
    unknown. `message` and `why_untraced` hold no credential and no absolute path. `backends` are the pids of
    its sessions, whoever told them, `guessed` those that time alone tells; `held` are the locks
    that sessions of which no tracer told were seen with; `ignored` the rules its files say to ignore, with
    their reasons. `target` is None where only its command knows it. `name` tells several migrations of a run
    apart, "" where there is only one; its upgrade and its rollback share it. `database` is the key of its
    database in `Record.watches`.

    `status`: ok | failed | deadline | stopped | nothing | wrong_database | untraced (refused as such).
    """

    number: int
    direction: str  # upgrade | downgrade
    placebo: bool
    target: str | None
    command: tuple[str, ...]
    attempts: int
    begin_at: float
    end_at: float | None
    status: str | None
    reached: bool | None
    exit_code: int | None
    message: str
    sqlstate: str | None
    revisions_before: tuple[str, ...] | None
    revisions_after: tuple[str, ...] | None
    traced: bool
    why_untraced: str
    trace: Trace
    zero: float
    backends: frozenset[int] = frozenset()
    ignored: Mapping[str, str] = field(default_factory=dict)
    guessed: frozenset[int] = frozenset()
    held: tuple[Held, ...] = ()
    name: str = ""
    database: str = ""

    @property
    def of(self) -> str:
        """` of billing` after a noun, where there are several."""
        return f" of {self.name}" if self.name else ""

    @property
    def phase(self) -> str:
        """The phase it happens in."""
        return "migrate" if self.direction == "upgrade" else "rollback"

    def at(self, mono: float | None) -> float | None:
        """A monotonic instant in run time."""
        return None if mono is None else mono - self.zero

    @property
    def first_statement_at(self) -> float | None:
        """Run time; where the tracer cannot tell, the start of the process: too early, not too late."""
        first = self.at(self.trace.first_statement_mono)
        if self.placebo:
            return self.begin_at
        if self.status in (None, "nothing", "wrong_database"):
            return first
        if not self.traced:
            return self.begin_at
        return self.begin_at if first is None and self.status == "ok" else first

    @property
    def last_commit_at(self) -> float | None:
        """Run time; None when nothing was committed, and for an untraced migration."""
        return self.at(self.trace.last_commit_mono) if self.traced else None

    @property
    def duration_s(self) -> float | None:
        """From the first statement to the last commit, None where the tracer cannot tell."""
        first, last = self.at(self.trace.first_statement_mono), self.last_commit_at
        return None if first is None or last is None else last - first

    @property
    def process_s(self) -> float | None:
        """From the start of the first attempt's process to the end of the last one's."""
        return None if self.end_at is None else self.end_at - self.begin_at

    @property
    def episode(self) -> Episode:
        """Its instants, for the timeline."""
        # One that failed after a commit went on until its process ended.
        finished = self.status == "ok" or self.end_at is None
        return Episode(
            self.number,
            self.direction,
            self.begin_at,
            self.first_statement_at,
            self.last_commit_at if finished else None,
            self.end_at,
        )


def databases_of(events: Iterable[Event]) -> tuple[str, ...]:
    """The keys of the databases that were migrated besides the run's own, in the order they were."""
    begun = (event.data.get("database") for event in events if event.kind == Kind.MIGRATION_BEGIN)
    return tuple(dict.fromkeys(str(key) for key in begun if key))


def migrations_of(
    events: Sequence[Event],
    seen_backends: Iterable[int] = (),
    held: Iterable[Held] = (),
    found: Iterable[BackendSeen] = (),
    database: str = "",
) -> tuple[Migration, ...]:
    """The episodes on a database in the order of their numbers; retries belong to the same episode.

    `seen_backends` are the migrations' sessions that the observer saw in the server, `held` the locks it saw
    them hold, `found` when and how it told that they are a migration's.
    """
    zero = next((float(e.data.get("monotonic", 0.0)) for e in events if e.kind == Kind.RUN_START), 0.0)
    begins = [event for event in events if event.kind == Kind.MIGRATION_BEGIN]
    numbers = sorted({int(e.data["episode"]) for e in begins if e.data.get("database", "") == database})
    own = {number: _of(events, number) for number in numbers}
    strangers = set(seen_backends).difference(*(_announced(told) for told in own.values()))
    seen_held, seen = list(held), list(found)
    return tuple(
        _migration(number, told, zero, _own_strangers(told, strangers, seen), seen_held)
        for number, told in own.items()
    )


def _own_strangers(
    events: Sequence[Event], strangers: set[int], found: Sequence[BackendSeen]
) -> dict[int, str]:
    """Those of the unannounced sessions that are this episode's, and by what: they were found while it ran.
    Of some it is not known when they were found.
    """
    begin, end = events[0].at, events[-1].at
    at_any_time = strangers.difference(seen.pid for seen in found)
    during = {seen.pid: seen.by for seen in found if seen.pid in strangers and begin <= seen.at <= end}
    return dict.fromkeys(at_any_time, "name") | during


def _of(events: Iterable[Event], number: int) -> list[Event]:
    return [event for event in events if event.data.get("episode") == number]


def _announced(events: Iterable[Event]) -> set[int]:
    """The backends that the tracer of one episode told of."""
    records = (event.data["record"] for event in events if event.kind == Kind.TRACE)
    told = [record for record in records if record.get("kind") in ("conn", "unidentified")]
    return {int(record["backend"]) for record in told if "backend" in record}


def _migration(
    number: int, events: Sequence[Event], zero: float, strangers: Mapping[int, str], held: Sequence[Held]
) -> Migration:
    begins = [event for event in events if event.kind == Kind.MIGRATION_BEGIN]
    first, last = begins[0], begins[-1]
    relfilenodes = {int(oid): int(node) for oid, node in (first.data.get("relfilenodes") or {}).items()}
    records = [event.data["record"] for event in events if event.kind == Kind.TRACE]
    end = next((event for event in reversed(events) if event.kind == Kind.MIGRATION_END), None)
    told: Mapping[str, Any] = end.data if end else {}
    trace = build(
        records,
        unreadable=int(told.get("unreadable") or 0),
        relfilenodes=relfilenodes or None,
        database_oid=first.data.get("database_oid"),
        seen_backends=strangers,
    )
    trace = replace(trace, statements=with_attempts(_with_held(s, held, zero) for s in trace.statements))
    return Migration(
        number=number,
        direction=str(first.data["direction"]),
        placebo=bool(first.data.get("placebo")),
        target=first.data.get("target"),
        command=tuple(last.data.get("command") or ()),
        attempts=int(last.data.get("attempt") or len(begins)),
        begin_at=first.at,
        end_at=end.at if end else None,
        status=told.get("status"),
        reached=told.get("reached"),
        exit_code=told.get("exit_code"),
        message=safe_text(str(told.get("message") or "")),
        sqlstate=told.get("sqlstate"),
        revisions_before=_names(first.data.get("revisions_before")),
        revisions_after=_names(told.get("revisions_after")),
        traced=trace.complete,
        why_untraced=safe_text(trace.why_incomplete or ""),
        trace=trace,
        zero=zero,
        backends=trace.backends | strangers.keys() | {s.backend_pid for s in trace.statements},
        ignored=dict(first.data.get("ignored") or {}),
        guessed=frozenset(pid for pid, by in strangers.items() if by == "time"),
        held=tuple(sight for sight in held if sight.pid in strangers),
        name=str(first.data.get("name") or ""),
        database=str(first.data.get("database") or ""),
    )


def _with_held(statement: Statement, held: Iterable[Held], zero: float) -> Statement:
    """A statement outside a transaction with the locks that the observer saw its backend hold meanwhile.

    Each sight holds until the next, the last one until the statement's end.
    """
    ended = statement.ended_mono
    if statement.transaction is not None or statement.locks or ended is None:
        return statement
    sights = [sight for sight in held if sight.pid == statement.backend_pid]
    sights = [sight for sight in sights if statement.started_mono <= sight.at + zero <= ended]
    found: dict[tuple[str, str | None, str], Lock] = {}
    for sight, later in zip_longest(sights, sights[1:]):
        until = ended if later is None else later.at + zero
        for relation, kind, mode, granted in sight.locks:
            if granted:
                lock = Lock(relation, kind, mode, sight.at + zero, until)
                known = found.setdefault((relation, kind, mode), lock)
                found[relation, kind, mode] = replace(known, released_mono=until)
    return replace(statement, locks=tuple(found.values()))


def _names(revisions: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if revisions is None else tuple(revisions)
