"""Two finished runs as the judge hands them over: `unsafe@head` gone red, `safe@head` green."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from harness.core.facts import timeline_of
from harness.core.judge import judge
from harness.core.plan import Plan
from harness.core.record import Record
from harness.core.series import Series, per_second
from harness.core.timeline import Episode, Timeline, Window
from harness.report.view import View, build
from tests import fix_several
from tests.fix_record import a_wait
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, episode
from tests.fix_trace import statement_records, trace_of
from tests.unit.report import sample_evidence

ENVIRONMENT: dict[str, Any] = {
    "harness": "0.1.0",
    "locust": "2.47.1",
    "machine": {"cpus": 2, "memory_gb": 7.8, "system": "Linux 6.12"},
    "postgresql": {"fsync": "on", "isolation": "read committed", "version": "18.1"},
    "python": "3.11.14",
    "seed": 1,
}

ENDPOINTS = (
    "GET /documents",
    "GET /documents/[id]",
    "POST /documents",
    "PUT /documents/[id]",
    "POST /transfers",
)

UNSAFE = (
    (
        "c41f0a7be2d9",
        "ALTER TABLE documents ADD COLUMN public_id UUID DEFAULT gen_random_uuid() NOT NULL",
        3.12,
    ),
    ("c41f0a7be2d9", "ALTER TABLE transfers ALTER COLUMN amount TYPE BIGINT", 0.742),
    ("d52e1b8cf3ea", "CREATE INDEX ix_documents_public_id ON documents (public_id)", 0.911),
    (
        "d52e1b8cf3ea",
        "UPDATE documents\n   SET title_search = to_tsvector('simple', title || ' ' || coalesce(body, '')),\n"
        "       updated_at = now()\n WHERE title_search IS NULL",
        4.43,
    ),
    ("d52e1b8cf3ea", "UPDATE alembic_version SET version_num='d52e1b8cf3ea'", 0.0006),
)

BATCH = (
    "UPDATE documents SET public_id = gen_random_uuid()"
    " WHERE id IN (SELECT id FROM documents WHERE public_id IS NULL LIMIT 1000)"
)

LOCKING = "ALTER TABLE documents ADD COLUMN flag boolean"
EXCLUSIVE = ("public.documents", "AccessExclusiveLock")

GATES = (
    ("errors", "error_ratio{phase=migrate} - error_ratio{phase=baseline} <= 1%", "ratio", 0.01),
    ("throughput", "throughput{phase=migrate} >= 0.95 * throughput{phase=baseline}", "/s", 75.5),
    ("latency", "worst_p95{phase=migrate} <= 3 * p95{phase=baseline} + 50ms", "s", 0.1049),
    ("stall", "stall{phase=migrate} <= 1s", "s", 1.0),
    ("recovery", "last_p95{phase=recover} <= 2 * p95{phase=baseline} + 25ms", "s", 0.0616),
    ("migration", "the migration reaches its target revision within 30s", "s", 30.0),
    ("lost_writes", "lost_writes == 0", "", 0),
    ("unexpected_writes", "unexpected_writes == 0", "", 0),
    ("leaks", "leaks == 0", "", 0),
    ("ws_delivery", "ws_delivery_p99 <= 2s", "s", 2.0),
    ("ws_missed", "ws_missed == 0", "", 0),
    ("generator", "hub_late_p99 <= 50ms", "s", 0.05),
)


def red() -> View:
    """The view of the red run."""
    return build(red_verdict(), red_series(), red_timeline(), Plan(upgrade="unsafe@head"), ENVIRONMENT)


def green() -> View:
    """The view of the green run."""
    return build(green_verdict(), green_series(), green_timeline(), Plan(upgrade="safe@head"), ENVIRONMENT)


def view_of(verdict: Mapping[str, Any]) -> View:
    """The view of a verdict over the green run's series."""
    return build(verdict, green_series(), green_timeline(), Plan(upgrade="safe@head"), ENVIRONMENT)


def view_of_record(record: Record) -> View:
    """The view of a record, judged."""
    timeline = timeline_of(record)
    series = per_second(record, timeline)
    return build(judge(record).as_json(), series, timeline, record.plan, record.environment)


def several(rollback: bool = False) -> View:
    """The view of a run of two migrations, of which the second made a session wait for two seconds."""
    held = statement_records(LOCKING, 30.0, 30.1, k=1, locks=[EXCLUSIVE], commit_at=32.5)
    episodes = (
        episode(1, SHOP, begin=25.0, start=27.0),
        episode(2, BILLING, begin=28.2, start=30.0, trace=trace_of(held)),
    )
    watch = a_watch(81.0 if rollback else 54.0, waits=(a_wait(30.2, 32.5, root=BILLING_PID),))
    return view_of_record(fix_several.several(*episodes, rollback=rollback, elsewhere={BILLING: watch}))


def red_verdict() -> dict[str, Any]:
    """`verdict.json` of a hurried migration."""
    at, statements = 30.4, []
    for number, (revision, sql, duration) in enumerate(UNSAFE, 1):
        statements.append(_statement(number, revision, sql, at, duration))
        at += duration + 0.004
    for statement, measured in zip(statements, sample_evidence.statement_facts(), strict=True):
        statement.update(measured)
    observed = {"throughput": 31.2, "latency": 8.94, "stall": 9.31, "errors": 0.0012, "ws_delivery": 9.4}
    verdict = _verdict("fail", 1, observed, statements, "unsafe@head", 9.22)
    verdict["gates"][4].update(
        status="inconclusive", observed=None, samples=143, why="143 samples, a p95 needs 200"
    )
    verdict["gates"][2]["confidence"] = [8.71, 9.02]
    waited = "statement 1 of c41f0a7be2d9 (ALTER TABLE documents …) made a session wait for 9.22 s"
    verdict["gates"][2]["why"] = waited
    verdict["blame"] = sample_evidence.blame()
    verdict |= sample_evidence.evidence()
    verdict["phases"] = _phases(
        red_timeline(), {"migrate": (31.2, 0.021, 8.94, 9.31), "recover": (84.1, 0.0, 0.031, 0.2)}
    )
    return verdict


def green_verdict() -> dict[str, Any]:
    """`verdict.json` of a careful migration."""
    statements = [
        _statement(1, "a1b2c3d4e5f6", "SET lock_timeout = '500ms'", 30.1, 0.0004),
        _statement(2, "a1b2c3d4e5f6", "ALTER TABLE documents ADD COLUMN public_id UUID", 30.11, 0.0041),
    ]
    at = 30.2
    for number in range(60):
        sql = BATCH
        statements.append(
            _statement(3 + number, "b2c3d4e5f6a7", sql, at, 0.038 + _noise(number) * 0.02, 1000)
        )
        at += 0.1
    for sql, duration in (
        ("ALTER TABLE documents ADD CONSTRAINT ck_public_id CHECK (public_id IS NOT NULL) NOT VALID", 0.003),
        ("ALTER TABLE documents VALIDATE CONSTRAINT ck_public_id", 0.081),
        ("CREATE INDEX CONCURRENTLY ix_documents_public_id ON documents (public_id)", 1.31),
    ):
        statements.append(_statement(len(statements) + 1, "c3d4e5f6a7b8", sql, at, duration))
        at += duration + 0.01
    observed = {"throughput": 79.4, "latency": 0.041, "stall": 0.21, "recovery": 0.019, "ws_delivery": 0.11}
    verdict = _verdict("pass", 0, observed, statements, "safe@head", at - 30.1)
    verdict["phases"] = _phases(green_timeline(), {"migrate": (79.4, 0.0, 0.041, 0.21)})
    return verdict


def red_timeline() -> Timeline:
    """Its impact window is `[30.4, 41.63)`."""
    return _timeline(Episode(1, "upgrade", 28.0, 30.4, 39.63, 39.8), 41.63)


def green_timeline() -> Timeline:
    """Its impact window is the shortest there is, ten seconds."""
    return _timeline(Episode(1, "upgrade", 28.0, 30.1, 37.6, 37.7), 40.1)


def red_series() -> Series:
    """Nothing is answered for nine seconds; then everything at once."""
    return _series(
        rate=lambda t: 80 + 6 * _noise(t),
        throughput=lambda t: 4.0 if 31 <= t < 39 else 210.0 if t in (39, 40) else 79 + 6 * _noise(t),
        errors=lambda t: 3.0 if t == 39 else 0.0,
        p95=lambda t: max(0.2, 9.2 - (t - 30)) if 30 <= t < 40 else 0.017 + 0.006 * _noise(t),
        blocked=lambda t: min(14.0, 2.0 * (t - 30)) if 31 <= t < 39 else 0.0,
        wal=lambda t: 16_500_000 if 30 <= t < 40 else 240_000 + 90_000 * _noise(t),
    )


def green_series() -> Series:
    """Hardly to be seen."""
    return _series(
        rate=lambda t: 80 + 6 * _noise(t),
        throughput=lambda t: 79.5 + 6 * _noise(t),
        errors=lambda _: 0.0,
        p95=lambda t: (0.032 if 30 <= t < 38 else 0.017) + 0.008 * _noise(t),
    )


Curve = Callable[[int], float]


def _series(
    rate: Curve,
    throughput: Curve,
    errors: Curve,
    p95: Curve,
    blocked: Curve | None = None,
    wal: Curve | None = None,
) -> Series:
    t = range(62)
    quiet = {0, 60, 61}  # before the first answer and after the last: no samples
    at = [None if n in quiet else p95(n) for n in t]
    return Series(
        t=tuple(map(float, t)),
        rate=tuple(0.0 if n in quiet else rate(n) for n in t),
        throughput=tuple(0.0 if n in quiet else throughput(n) for n in t),
        errors=tuple(errors(n) for n in t),
        p50=tuple(v and v * 0.4 for v in at),
        p95=tuple(at),
        p99=tuple(v and v * 1.3 for v in at),
        max=tuple(v and v * 1.3 + 0.03 * _noise(n + 7) for n, v in enumerate(at)),
        blocked=tuple(map(blocked, t)) if blocked else (),
        wal=tuple(map(wal, t)) if wal else (),
    )


def _noise(n: int) -> float:
    """0–1, the same for the same n."""
    return math.modf(abs(math.sin(n * 12.9898 + 4.1)) * 43758.5453)[0]


def _timeline(episode: Episode, migrate_end: float) -> Timeline:
    assert episode.first_statement_at is not None
    edges = [0.0, 8.0, 28.0, episode.first_statement_at, migrate_end, migrate_end + 15.0]
    edges += [edges[-1] + 1.2, edges[-1] + 3.4, edges[-1] + 5.9]
    names = ("warmup", "baseline", "launch", "migrate", "recover", "probe", "drain", "final_read")
    phases = tuple(Window(name, edges[n], edges[n + 1]) for n, name in enumerate(names))
    return Timeline(phases, (episode,), edges[-1])


def _statement(
    number: int, revision: str, sql: str, at: float, duration: float, rows: int | None = None
) -> dict[str, Any]:
    return {
        "n": number,
        "revision": revision,
        "sql": sql,
        "started_at": round(at, 4),
        "duration_s": round(duration, 4),
        "rows": rows,
        "lock_timeout_s": 0.0,
        "sqlstate": None,
        "locks": [],
        "rewrites": [],
        "scans": [],
        "blocks": [],
        "blocked": {"sessions": None, "session_seconds": None, "longest_s": None},
        "provenance": "traced",
    }


def _phases(
    timeline: Timeline, changed: Mapping[str, tuple[float, float, float, float]]
) -> list[dict[str, Any]]:
    rows = []
    for window in timeline.phases:
        throughput, errors, p95, stall = changed.get(window.name, (79.5, 0.0, 0.0183, 0.14))
        row: dict[str, Any] = {"name": window.name, "start_at": window.start, "end_at": window.end}
        if window.name in ("probe", "drain", "final_read"):
            keys = ("rate", "throughput", "error_ratio", "p50", "p95", "p99", "max", "stall_s")
            rows.append(row | {"requests": 0} | dict.fromkeys(keys))
            continue
        latency = {"p50": p95 * 0.4, "p95": p95, "p99": p95 * 1.2, "max": p95 * 1.5}
        requests = round(window.duration * 80)
        rows.append(
            row
            | {
                "requests": requests,
                "target_rate": 80.0,
                "due_rate": 80.0,
                "rate": 80.1,
                "service_p50": 0.0069,
                "service_p95": 0.0171,
                "service_p99": 0.0212,
                "lag_p99": p95 * 1.1,
                "throughput": throughput,
                "error_ratio": errors,
                "stall_s": stall,
            }
            | latency
        )
    return rows


def _verdict(
    status: str,
    exit_code: int,
    observed: Mapping[str, float],
    statements: list[dict[str, Any]],
    target: str,
    duration: float,
) -> dict[str, Any]:
    gates: list[dict[str, Any]] = []
    for name, expression, unit, limit in GATES:
        value = observed.get(name, 0.0042 if unit == "s" else 0)
        wrong = value < limit if name == "throughput" else value > limit
        gates.append(
            {
                "name": name,
                "expression": expression,
                "status": "fail" if wrong else "pass",
                "observed": value,
                "limit": limit,
                "unit": unit,
                "samples": 898,
                "why": "worst from 30.4 s to 35.4 s" if wrong else "",
            }
        )
    gates.append(
        {
            "name": "catalog",
            "expression": "no invalid index, no revision half applied",
            "status": "not_applicable",
            "observed": None,
            "limit": None,
            "unit": "",
            "samples": None,
            "why": "the catalogue is not read yet",
        }
    )
    return {
        "schema": 1,
        "run_id": f"20260314T101502Z-demo-{'a1b2c3' if exit_code else 'd4e5f6'}",
        "complete": True,
        "interrupted_in": None,
        "status": status,
        "exit_code": exit_code,
        "gates": gates,
        "migration": {
            "command": ["python", "-m", "alembic", "-c", "alembic.ini", "upgrade", target],
            "from": "v1",
            "to": statements[-1]["revision"],
            "status": "ok",
            "duration_s": duration,
            "process_s": duration + 2.6,
            "direction": "upgrade",
            "target": target,
            "begin_at": 28.0,
            "message": "",
            "sqlstate": None,
            "attempts": 1,
            "revisions": [
                {"revision": r, "doc": f"step {r[0]}", "started_at": 30.4, "ended_at": 33.0, "ok": True}
                for r in sorted({s["revision"] for s in statements})
            ],
            "statements": statements,
        },
        "blame": [],
        "phases": [],
        "endpoints": [
            {
                "name": endpoint,
                "phase": phase,
                "requests": 320 + 40 * n,
                "rate": 16.0,
                "throughput": 15.9,
                "error_ratio": 0.0,
                "p50": 0.006 + 0.001 * n,
                "p95": (4.1 if exit_code and phase == "migrate" else 0.017) + 0.002 * n,
                "p99": 4.6 if exit_code and phase == "migrate" else 0.025,
                "max": 9.4 if exit_code and phase == "migrate" else 0.061,
                "stall_s": 9.31 if exit_code and phase == "migrate" else 0.14,
            }
            for n, endpoint in enumerate(ENDPOINTS)
            for phase in ("baseline", "migrate", "recover")
        ],
        "ledger": {
            "acknowledged": 1204,
            "indeterminate": 3 if exit_code else 0,
            "lost": 0,
            "hidden": 0,
            "unexpected": 0,
            "duplicated": 0,
            "stale": 0,
        },
        "isolation": {
            "reads_checked": 3410,
            "probes": 212,
            "leaks": 0,
            "forged_tokens_tried": None,
            "forged_tokens_accepted": None,
            "rows": [
                _tried("foreign_read", "baseline", tried=40, refused=40),
                _tried("foreign_update", "probe", tried=1, errors=1),
                _tried("alg_none", "probe", tried=2, refused=1, succeeded=1),
                _tried("expired_token", "probe", why="none outlived its end"),
            ],
        },
        "continuity": {
            "accounts": 30,
            **{
                kind: {"worked": 30, "failed": 0, "unclear": 0, "worked_before": True, "why_not": None}
                for kind in ("old_token", "fresh_login", "first_use")
            },
            "examples": [],
        },
        "websocket": {
            "connections": 30,
            "delivered": 2113,
            "missed": 0,
            "duplicated": 0,
            "reordered": 0,
            "delivery_p99_s": observed.get("ws_delivery"),
            "clock_ahead_s": 0.001,
            "clock_error_s": 0.004,
            "longest_silence_s": 9.8 if exit_code else 3.1,
            "reconnects": 0,
            "reconnect_p99_s": None,
            "resumed": 0,
            "passed": 0,
            "unsettled": 0,
            "ends": {},
            "odd": {},
            "status_expected": 90,
            "status_delivered": 90,
            "status_p99_s": 0.062,
            "status_missing": [],
        },
        "drills": [],
        "load": {
            "users": 30,
            "workers": 1,
            "workers_lost": 0,
            "arrivals": "scheduled",
            "due": 4712,
            "begun": 4712,
            "shed": 0,
            "late": [],
            "target_rate": 80.0,
            "achieved_rate": 79.6,
            "hub_late_p99_s": 0.0042,
            "started": 4712,
            "finished": 4712,
            "unfinished": 0,
        },
        "environment": {},
        "limits": [
            "`catalog` is not judged: the plan reads no catalogue.",
            "Everything ran on one machine with 2 cores: the load, the service and the database share them.",
        ],
    }


def _tried(
    probe: str,
    phase: str,
    tried: int = 0,
    refused: int = 0,
    succeeded: int = 0,
    errors: int = 0,
    why: str = "",
) -> dict[str, Any]:
    return {
        "probe": probe,
        "phase": phase,
        "tried": tried,
        "refused": refused,
        "succeeded": succeeded,
        "errors": errors,
        "why_not": why,
    }
