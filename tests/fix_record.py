"""Builders of literal records: what a run would have written down, without a run.

The run of `a_record()` has its baseline in [5, 25), its migration's first statement at 27, an impact window
[27, 37) and recovers in [37, 52); 100 requests per second, each answered ok after 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.blocks import Block
from harness.core.contents import Contents, TableChange
from harness.core.events import Event, Kind
from harness.core.observation import DatabasePoint, LogEntry, Observed, ReplicaPoint
from harness.core.operations import OperationKind
from harness.core.plan import Plan
from harness.core.record import (
    FinalRead,
    HealthPoint,
    Probe,
    Record,
    ShapePoint,
    SocketChange,
    Total,
    WebSocketPoint,
)
from harness.core.replication import PRIMARY
from harness.core.samples import DRAFT_TYPE, SampleTable, pack_samples
from harness.core.schema_state import IndexState, SchemaState, TableState
from harness.core.traceparent import make, packed_start
from harness.core.waits import Blocker, Wait
from harness.store import RunDirectory
from tests.fix_ledger import a_key, a_read, a_total, an_operation, found, operations_of
from tests.fix_samples import steady
from tests.fix_trace import MIGRATION_PID, ZERO, trace_records

IMPACT = (27.0, 37.0)

KEPT = TableChange("documents", 1000, 1200, compared=1000)
"""A table of which every row came back."""

PHASES = {
    "warmup": 0.0,
    "baseline": 5.0,
    "launch": 25.0,
    "migrate": 27.0,
    "recover": 37.0,
    "drain": 52.0,
    "final_read": 53.0,
}
ROLLBACK_PHASES = {
    **PHASES,
    "rollback_launch": 52.0,
    "rollback": 54.0,
    "rollback_recover": 64.0,
    "drain": 79.0,
    "final_read": 80.0,
}


def a_plan(**changes: Any) -> Plan:
    """The default plan with changes."""
    return replace(Plan(warmup_s=5.0, totals=True, tokens=True), **changes)


def events(
    plan: Plan | None = None,
    *,
    end: Mapping[str, Any] | None = None,
    trace: Sequence[Mapping[str, Any]] | None = None,
    phases: Mapping[str, float] | None = None,
    stop: str = "completed",
    stop_at: float | None = None,
    ended_at: float = 28.1,
    more: Iterable[Event] = (),
) -> tuple[Event, ...]:
    """The events of a whole run of the plan; `end` changes the MIGRATION_END of the upgrade at `ended_at`,
    `trace` its records.
    """
    plan = plan or a_plan()
    phases = phases or (ROLLBACK_PHASES if plan.downgrade else PHASES)
    stop_at = phases.get("drain", 0.0) if stop_at is None else stop_at
    log = [Event(0.0, Kind.RUN_START, {"run_id": "20260101T000000Z-demo-abc123", "monotonic": ZERO})]
    log += [Event(stop_at, Kind.STOP, {"cause": stop})]  # before the drain it begins
    log += [Event(at, Kind.PHASE, {"name": name}) for name, at in phases.items()]
    log += [Event(0.0, Kind.WORKER_JOINED, {"worker": "w1", "base_at": 0.0, "offset_s": 0.0, "pid": 7})]
    log += _upgrade(plan, end or {}, trace_records() if trace is None else trace, ended_at)
    if plan.downgrade:
        log += _downgrade(plan)
    log += more
    final = {
        "worker": "w1",
        "samples": 1,
        "operations": 1,
        "started": 5200,
        "finished": 5200,
        "unfinished": 0,
    }
    log += [Event(stop_at + 1.5, Kind.WORKER_FINAL, final)]
    log += [Event(stop_at + 2.0, Kind.RUN_END, {"complete": stop == "completed"})]
    return tuple(sorted(log, key=lambda event: event.at))


def _upgrade(
    plan: Plan, end: Mapping[str, Any], trace: Sequence[Mapping[str, Any]], ended_at: float
) -> list[Event]:
    order = {"episode": 1, "direction": "upgrade", "target": plan.upgrade, "attempt": 1}
    if plan.placebo:
        return [Event(27.0, Kind.MIGRATION_BEGIN, {**order, "placebo": True})]
    ran = {"command": ["alembic", "-c", "/srv/shop/alembic.ini", "upgrade"], "revisions_before": ["0001"]}
    ended = {
        "episode": 1,
        "status": "ok",
        "exit_code": 0,
        "revisions_after": ["0002"],
        "reached": True,
        "message": "",
        "sqlstate": None,
        **end,
    }
    announced = {"number": 1, "status": "started", "took_s": 0.01, "error": None}
    return [
        Event(25.0, Kind.MIGRATION_BEGIN, {**order, **ran}),
        Event(26.0, Kind.ANNOUNCED, announced),
        *(Event(float(r["mono"]) - ZERO, Kind.TRACE, {"episode": 1, "record": r}) for r in trace),
        *([Event(ended_at, Kind.MIGRATION_END, ended)] if ended["status"] else []),
    ]


def _downgrade(plan: Plan) -> list[Event]:
    order = {"episode": 2, "direction": "downgrade", "target": plan.downgrade, "attempt": 1}
    ended = {"episode": 2, "status": "ok", "exit_code": 0, "revisions_after": ["0001"], "reached": True}
    return [
        Event(52.0, Kind.MIGRATION_BEGIN, {**order, "command": ["alembic"], "revisions_before": ["0002"]}),
        *(
            Event(float(r["mono"]) - ZERO, Kind.TRACE, {"episode": 2, "record": r})
            for r in trace_records(54.0, 55.0)
        ),
        Event(55.1, Kind.MIGRATION_END, ended),
    ]


def healthy(
    until: float = 52.0, late_ms: float = 1.0, cpu_ratio: float | None = 0.3
) -> tuple[HealthPoint, ...]:
    """A worker's health each second, ten ticks in each."""
    return tuple(
        HealthPoint(float(at), "w1", 30, 2, cpu_ratio, 80.0, (late_ms,) * 10) for at in range(int(until))
    )


def watched(until: float = 54.0, **changes: Any) -> Observed:
    """An observer that saw everything until its ordered end."""
    whole = Observed(
        began_at=0.5,
        ended_at=until,
        log_read=True,
        polls=1000,
        late_p99_s=0.004,
        late_max_s=0.02,
        interval_s=0.05,
        backends=(MIGRATION_PID,),
        server_version=180000,
    )
    return replace(whole, **changes)


def a_wait(
    start: float,
    end: float | None,
    *,
    pid: int = 600,
    relation: str | None = "public.documents",
    mode: str = "AccessShareLock",
    root: Blocker | int = MIGRATION_PID,
    chain: tuple[int, ...] | None = None,
    query: str = "SELECT * FROM documents WHERE id = 7",
    **changes: Any,
) -> Wait:
    """A wait of a client's session for the migration, unless `root` is another."""
    blocker = root if isinstance(root, Blocker) else Blocker(root, "alembic", "client backend", "active")
    whole = Wait(
        pid=pid,
        started_at=start,
        ended_at=end,
        last_seen_at=start if end is None else end,
        lock_type="relation",
        mode=mode,
        relation=relation,
        chain=(blocker.pid,) if chain is None else chain,
        blocking=(blocker.pid,) if chain is None else chain[:1],
        root=blocker,
        application="shop",
        backend_type="client backend",
        query=query,
        interval_s=0.02,
    )
    return replace(whole, **changes)


def tied_query(intended: float, sql: str = "SELECT * FROM documents WHERE id = 7", worker: str = "w1") -> str:
    """A query that tells that it is of the request intended for `intended`."""
    return f"{sql} /*traceparent='{make(worker, packed_start(intended), 1, 1)}'*/"


def a_deadlock(at: float, pids: tuple[int, ...] = (600, MIGRATION_PID)) -> LogEntry:
    """A deadlock as the server's log tells of it, the victim first."""
    queries = tuple(f"UPDATE documents SET version = {pid}" for pid in pids)
    return LogEntry(at, "deadlock", pids[0], "40P01", "deadlock detected", pids=pids, queries=queries)


def points(until: int = 55, **totals: Sequence[int]) -> tuple[DatabasePoint, ...]:
    """The database each second; `totals` are the values of counters by second, the last one repeated."""
    empty = DatabasePoint(0.0)
    return tuple(
        replace(empty, at=float(at), **{name: own[min(at, len(own) - 1)] for name, own in totals.items()})  # type: ignore[arg-type]
        for at in range(until)
    )


def replica_looks(
    *behind: tuple[float, float, float], until: float = 52.0, name: str = "r1", source: str = PRIMARY
) -> tuple[ReplicaPoint, ...]:
    """A replica looked at twice a second; `behind` are (from, to, seconds), elsewhere it is level."""
    return tuple(
        ReplicaPoint(at, name, source, found, int(found * 1000))
        for at in (half / 2 for half in range(2, int(until * 2)))
        for found in [next((lag for start, end, lag in behind if start <= at < end), 0.0)]
    )


def a_schema(**changes: Any) -> SchemaState:
    """A schema of one table with its primary key."""
    table = TableState("documents", "r", "shop", rows=200_000.0, bytes=50_000_000)
    index = IndexState("documents_pkey", "documents", "CREATE UNIQUE INDEX documents_pkey", unique=True)
    whole: dict[str, Any] = {"at": 26.0, "tables": {"documents": table}, "indexes": {"documents_pkey": index}}
    return SchemaState(**{**whole, **changes})


def messages(
    count: int = 1000, delay_s: float = 0.05, missed: int = 0, **changes: Any
) -> tuple[WebSocketPoint, ...]:
    """Deliveries of one second, stamped by a clock that is right, and the status that was announced at 26."""
    whole = WebSocketPoint(30.0, "w1", 30, count, missed, 0, 0, 0, (delay_s,) * count)
    told: dict[str, Any] = {"clock": (-0.001, 0.001), "settled": 1, "statuses": ((1, 1, 3.9),)}
    return (replace(whole, **{**told, **changes}),)


def connected(*changes: SocketChange) -> tuple[SocketChange, ...]:
    """The WebSocket of one account, and what became of it."""
    return (SocketChange(2.0, "w1", 1, "ada"), *changes)


def sessions(until: float = 52.0, /, **after: str) -> tuple[Probe, ...]:
    """A login that worked before the load, and what was tried at the end for three accounts; `after` gives
    other outcomes, by kind.
    """
    kinds = ("old_token", "fresh_login", "first_use")
    return (
        *(Probe(0.0, "ada", kind, "worked") for kind in kinds[1:]),
        *(
            Probe(until - 0.5, account, kind, after.get(kind, "worked"), "HTTP 401" if kind in after else "")
            for account in ("ada", "bob", "cy")
            for kind in kinds
        ),
    )


def forged_tokens(
    until: float = 52.0, /, before: str = "refused", after: str = "refused"
) -> tuple[Probe, ...]:
    """A forged token that was tried in the baseline, and again after the migration."""
    return tuple(
        Probe(at, "ada", "alg_none", outcome, "" if outcome == "refused" else "alg none: HTTP 200")
        for at, outcome in ((10.0, before), (until - 0.4, after))
    )


def on_disk(root: Path, plan: Plan | None = None, table: SampleTable | None = None) -> Path:
    """The directory below `root` of a whole run of the plan, which nobody observed."""
    plan = replace(plan or a_plan(), run_root=str(root))
    directory = RunDirectory.create(plan, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    told = [event for event in events(plan) if event.kind != Kind.WORKER_FINAL]
    final = {"worker": "w1", "samples": 1, "operations": 0, "started": 1, "finished": 1, "unfinished": 0}
    for event in (*told, Event(53.5, Kind.WORKER_FINAL, final)):
        directory.append_event(event)
    directory.write_json("environment.json", {"python": "3.11.9"})
    table = steady() if table is None else table
    drafts = np.zeros(len(table), DRAFT_TYPE)
    drafts["intended"], drafts["sent"], drafts["ended"] = table.at, table.end - table.service, table.end
    drafts["endpoint"], drafts["outcome"] = table.endpoint, table.outcome
    packed = pack_samples(drafts.tobytes())
    names = {str(number): name for number, name in enumerate(table.endpoints)}
    directory.append_block("samples", Block("w1", 0, len(table), packed, {"endpoints": names}).encode())
    for point in healthy():
        directory.append_line("health.ndjson", asdict(point))
    directory.close()
    return directory.path


def old_shape(
    name: str = "share_id", endpoint: str = "GET /documents/{id}", second: float = 40.0, **counts: int
) -> tuple[ShapePoint, ...]:
    """An endpoint that shows a new name from the migration on, and in one second answers without it."""
    counted = {"taken_back": 3, **counts}
    key = a_key("old") if counted["taken_back"] else ""
    return (
        ShapePoint(5.0, endpoint),
        ShapePoint(28.0, endpoint, name, shown=9),
        ShapePoint(second, endpoint, name, renewed=20, example=key, **counted),
    )


def a_record(plan: Plan | None = None, table: SampleTable | None = None, **changes: Any) -> Record:
    """A run in which everything went well, with changes of the record's fields."""
    plan = plan or a_plan()
    until = 79.0 if plan.rolls_back else 52.0
    whole: dict[str, Any] = {
        "plan": plan,
        "environment": {"python": "3.11.9", "postgres_bin": "/usr/lib/postgresql/18/bin"},
        "events": events(plan),
        "samples": steady(end=until) if table is None else table,
        "operations": operations_of(an_operation(OperationKind.CREATE, 1), a_read(1)),
        "totals": (a_total(at=10.0), a_total()),
        "final_reads": (
            FinalRead("ada", 54.0, (found(1),), None, (found(1),), "w1", (Total("wallets", "30000", 3),)),
        ),
        "shapes": (ShapePoint(5.0, "GET /documents"),),
        "reads_checked": 500,
        "probes": (Probe(30.0, "ada", "foreign_read", "refused"), *forged_tokens(until), *sessions(until)),
        "health": healthy(until),
        "websocket": messages(),
        "sockets": connected() if changes.get("websocket", True) else (),
        "observed": watched(until + 2.0, backends=() if plan.placebo else (MIGRATION_PID,)),
        "schema_before": a_schema(),
        "schema_after": a_schema(),
        "schema_after_rollback": a_schema() if plan.downgrade else None,
        "contents": {"": Contents(25.0, 80.0, (KEPT,))} if plan.downgrade else {},
        "missing": (),
    }
    return Record(**{**whole, **changes})
