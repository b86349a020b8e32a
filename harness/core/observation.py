"""What the observer recorded besides waits: the database second by second, the server's log, and itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "BLIND_S",
    "ENDED",
    "BackendSeen",
    "DatabasePoint",
    "Held",
    "LogEntry",
    "Observed",
    "ObserverLine",
    "Progress",
    "ReplicaPoint",
    "as_line",
    "observed",
    "observer_line",
]


ENDED = "ended"
"""The phase of a command that no longer reports its progress."""

BLIND_S = 0.5
"""A longer time without a poll that succeeded is told of: a wait of a second, whose start the server knows,
cannot hide in a shorter one."""


@dataclass(frozen=True)
class DatabasePoint:
    """The database at one instant; counters are totals since the observer began. Unknown is None.

    `sessions` counts client backends by state. `lag_s` is the longest lag of a replica (`ReplicaPoint`),
    `slot_bytes` the WAL the worst slot holds back. `cpu` and `memory_mb` are by process group (postgresql,
    service, …), CPU as a ratio of one core since the last point; absent for what is not on this machine.
    `cpu_wait` is the share of that time in which the process of a group that waited longest was ready to run
    and had no CPU. The observer's own session and transactions are not counted.
    """

    at: float
    sessions: Mapping[str, int] = field(default_factory=dict)
    waiting: int | None = None
    oldest_transaction_s: float | None = None
    deadlocks: int | None = None
    temp_bytes: int | None = None
    commits: int | None = None
    rollbacks: int | None = None
    wal_bytes: int | None = None
    lag_s: float | None = None
    slot_bytes: int | None = None
    cpu: Mapping[str, float] = field(default_factory=dict)
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    cpu_wait: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LogEntry:
    """One message of the server log that matters, `at` in seconds since the start of the run.

    `kind`: error (with `sqlstate`), deadlock (`pids` of both sides, the victim first, `queries` likewise),
    lock_wait (`wait_s` so far, `pids` the waiter), lock_acquired (`wait_s` in all, `pids` the waiter), fatal.
    `count` is above 1 where the same error came again and again: then it is the first of that many.
    """

    at: float
    kind: str
    pid: int | None = None
    sqlstate: str | None = None
    message: str = ""
    query: str = ""
    application: str = ""
    pids: tuple[int, ...] = ()
    queries: tuple[str, ...] = ()
    wait_s: float | None = None
    relation: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Progress:
    """How far a command is that reports its progress (`pg_stat_progress_*`); its last phase is `ENDED`."""

    at: float
    pid: int
    command: str
    phase: str
    done_ratio: float | None = None
    relation: str | None = None
    locker_pid: int | None = None


@dataclass(frozen=True)
class Held:
    """The locks on relations that a backend of the migration was seen with; written when they change.

    What sees the locks of a statement outside a transaction (CONCURRENTLY), where the tracer cannot look.
    """

    at: float
    pid: int
    locks: tuple[tuple[str, str | None, str, bool], ...]  # relation, kind, mode, granted


@dataclass(frozen=True)
class BackendSeen:
    """A backend that is seen to be the migration's, and by what: `name` (its application's), `port` (of a
    connection that the migration's processes have), or `time` alone: it began while they ran, and is unlike
    every session from before.
    """

    at: float
    pid: int
    by: str


@dataclass(frozen=True)
class ReplicaPoint:
    """A streaming replica at one instant, told of by its `source`: the `primary`, or the `replica` itself.

    `lag_s` is how long ago the primary was where the replica is now in replaying the WAL, 0 where the replica
    is level with it: by the positions of the primary that the observer saw, so good to half a second; of
    what was written before it began, by what PostgreSQL says of the time. It and `behind_bytes` are None
    where they are not known, and `why` then says the reason. `write_lag_s`, `flush_lag_s` and `replay_lag_s`
    are the primary's own, which it does not have while it is idle. `conflicts` are the queries that the
    replica canceled since the observer began, by kind (`pg_stat_database_conflicts`); known only of itself.
    """

    at: float
    replica: str
    source: str
    lag_s: float | None = None
    behind_bytes: int | None = None
    why: str = ""
    state: str | None = None
    write_lag_s: float | None = None
    flush_lag_s: float | None = None
    replay_lag_s: float | None = None
    conflicts: Mapping[str, int] = field(default_factory=dict)


ObserverLine = DatabasePoint | LogEntry | Progress | Held | BackendSeen | ReplicaPoint

KINDS: Mapping[str, type[Any]] = {
    "point": DatabasePoint,
    "log": LogEntry,
    "progress": Progress,
    "held": Held,
    "backend": BackendSeen,
    "replica": ReplicaPoint,
}
"""What a line of `database.ndjson` holds, by its `what`."""


@dataclass(frozen=True)
class Observed:
    """What the observer says of itself and of what it could see.

    `began_at`, `ended_at`: None when it never began, or died. `why_blind` says, in words with the remedy, why
    waits could not be seen; `log_read` whether the server's log was read (deadlocks are then named, waits
    over `deadlock_timeout` exact), `waits_logged` whether the server logs every wait of over a second.
    `polls` are those that succeeded; each is late by its distance from the one before, less the interval,
    however that came about. `backends` are the migration's backends that it saw in the server. `gaps` are
    the times (start, end) in which it had no connection, `blind` those of over `BLIND_S` in which it had one
    and no poll succeeded. `pooler` says what stands between it and the server, if anything. `waits` and
    `lines` are how many lines it wrote into `locks.ndjson` and `database.ndjson`, None unless it came to its
    end.
    """

    began_at: float | None = None
    ended_at: float | None = None
    why_blind: str = ""
    log_read: bool = False
    why_no_log: str = ""
    waits_logged: bool | None = None
    polls: int = 0
    late_p99_s: float | None = None
    late_max_s: float | None = None
    interval_s: float | None = None
    backends: tuple[int, ...] = ()
    server_version: int | None = None
    pooler: str = ""
    gaps: tuple[tuple[float, float], ...] = ()
    blind: tuple[tuple[float, float], ...] = ()
    waits: int | None = None
    lines: int | None = None

    @property
    def complete(self) -> bool:
        """Whether it watched from its start to its ordered end and could see waits."""
        return self.began_at is not None and self.ended_at is not None and not self.why_blind


def as_line(value: ObserverLine) -> dict[str, Any]:
    """The line of `database.ndjson`; `observer_line` reads it back."""
    return {"what": next(name for name, kind in KINDS.items() if isinstance(value, kind)), **asdict(value)}


def _known(kind: type[Any], line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key in kind.__dataclass_fields__}


def observer_line(line: Mapping[str, Any]) -> ObserverLine:
    """The value of one line of `database.ndjson`, whose `what` is one of `KINDS`."""
    kind = KINDS[str(line["what"])]
    values = _known(kind, line)
    for name in ("pids", "queries"):
        if name in values:
            values[name] = tuple(values[name])
    if "locks" in values:
        values["locks"] = tuple(tuple(lock) for lock in values["locks"])
    found: ObserverLine = kind(**values)
    return found


def observed(told: Mapping[str, Any]) -> Observed:
    """From `observer.json`; an absent file is an observer that never began."""
    values = _known(Observed, told)
    values["backends"] = tuple(values.get("backends") or ())
    for name in ("gaps", "blind"):
        values[name] = tuple(tuple(times) for times in values.get(name) or ())
    return Observed(**values)
