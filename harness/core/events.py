"""The event log: what happened in the run, each with the instant it happened.

A record carries time, never a phase; phases are cut afterwards from these events (`core/timeline.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PHASES", "Event", "Kind"]

PHASES = (
    "warmup",
    "baseline",
    "launch",
    "migrate",
    "recover",
    "deploy",
    "deploy_recover",
    "rollback_launch",
    "rollback",
    "rollback_recover",
    "probe",
    "drill",
    "drill_recover",
    "drain",
    "final_read",
    "drill_walk",
)
"""Every phase, in the order a run walks them. `launch` and `rollback_launch` last from the start of the
migration's process to its first statement; no gate judges them. `deploy` and `deploy_recover` may as well
come before `launch`. Each drill on service or database has a `drill` and a `drill_recover` of its own."""


class Kind:
    """The kinds of event, with the keys of their `data`."""

    # run_id, started (UTC), seed, monotonic (the clock at instant 0), processes{name: pid}
    RUN_START = "run_start"
    PHASE = "phase"  # name
    # episode, direction, target, command[], revisions_before[], attempt, relfilenodes{oid: file node},
    # ignored{rule: reason}; of several migrations the name; database, where it is not the run's own
    MIGRATION_BEGIN = "migration_begin"
    TRACE = "trace"  # episode, record (one record of the tracer, `core/trace.py`)
    # episode, status, exit_code, revisions_after[], reached (null: unknown), sqlstate, unreadable, message
    MIGRATION_END = "migration_end"
    DEPLOY_BEGIN = "deploy_begin"  # when (before | after the migration), how (in words)
    # status (ok | failed | deadline | stopped), exit_code (of its command), message
    DEPLOY_END = "deploy_end"
    # number, status, took_s, error (null: the service took it); the event's instant is that of the send
    ANNOUNCED = "announced"
    TARGET_RATE = "target_rate"  # rate, over_s (how long the way there takes): of all users from now on
    WORKER_JOINED = "worker_joined"  # worker, base_at (run instant of its clock's zero), offset_s, pid
    # worker, samples, operations (blocks sent), started, finished, unfinished,
    # uses[[user class, client, what, count]] (`core/client_limits.py`)
    WORKER_FINAL = "worker_final"
    WORKER_LOST = "worker_lost"  # worker: nothing is heard of it
    WORKER_BACK = "worker_back"  # worker: it was lost, and is heard of again
    # name, when (before | upgraded | end), rows (null: not answered), examples[], error, missing (bool: of
    # what it names something is not there)
    INVARIANT = "invariant"
    OBSERVER_DIED = "observer_died"  # why; database, where it is not the run's own
    WORKER_LATE = "worker_late"  # worker: it came after the run had begun, and does nothing
    # drill (its number in the plan, from 1), name, where, value; what else belongs to it
    DRILL_BEGIN = "drill_begin"  # the fault begins
    # drill, done (bool), why (not done, or not as asked), and what was seen of it; the fault itself is over
    DRILL_END = "drill_end"
    # drill, statements[] (run before another try), failed (why they did not help, or "")
    DRILL_REMEDY = "drill_remedy"
    # drill, number, place, and what followed there: of a drill that is done in many places
    DRILL_CELL = "drill_cell"
    # drill, sessions, long_transactions, waiting, prepared (what clients had open when its recovery was
    # over), or unread (why that is not known)
    DRILL_LEFT = "drill_left"
    STOP = "stop"  # cause: completed | SIGINT | SIGTERM | stopped in the web page | service died | …
    RUN_END = "run_end"  # complete (bool)


@dataclass(frozen=True)
class Event:
    """One event: `at` seconds since the start of the run, its `kind` and what belongs to it."""

    at: float
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The line of `events.ndjson`."""
        return {"at": round(self.at, 6), "event": self.kind, **self.data}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Event:
        """The event of one line of `events.ndjson`."""
        return cls(
            float(line["at"]), str(line["event"]), {k: v for k, v in line.items() if k not in ("at", "event")}
        )
