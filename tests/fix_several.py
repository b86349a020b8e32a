"""A literal record of a run with two migrations, one after the other, each on a database of its own.

`shop` upgrades the service's database, its statement in [27, 28); `billing` another one, its statement in
[30, 31). Rolled back, `billing` goes first, at 54, and `shop` at 57. Both statements lock `public.documents`,
as statement 1 of revision `0002`; in `billing` that is session 501.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.core.events import Event, Kind
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.core.record import Part, Record, Watch
from tests.fix_record import ROLLBACK_PHASES, a_plan, a_record, a_schema, events, watched
from tests.fix_trace import MIGRATION_PID, ZERO, trace_records

__all__ = [
    "BILLING",
    "BILLING_PID",
    "BILLING_URL",
    "SHOP",
    "a_watch",
    "episode",
    "several",
    "several_events",
    "several_plan",
]

SHOP, BILLING = "shop", "billing"
BILLING_PID = 501
BILLING_URL = "postgresql://a@127.0.0.1/billing"

_MIGRATIONS = (Kind.MIGRATION_BEGIN, Kind.MIGRATION_END, Kind.TRACE)


def several_plan(rollback: bool = False, **changes: Any) -> Plan:
    """Its two migrations, of which both are rolled back or none; with changes of the plan."""
    back = "0001" if rollback else None
    shop = MigrationPlan(SHOP, upgrade="0002", downgrade=back)
    billing = MigrationPlan(BILLING, upgrade="0002", downgrade=back, database_url=BILLING_URL)
    return a_plan(migrations=(shop, billing), **changes)


def episode(
    number: int,
    name: str,
    direction: str = "upgrade",
    *,
    begin: float,
    start: float,
    status: str = "ok",
    database: str | None = None,
    trace: Sequence[Mapping[str, Any]] | None = None,
    **end: Any,
) -> list[Event]:
    """The events of one, whose statement runs in `[start, start + 1)`."""
    database = ("" if name == SHOP else name) if database is None else database
    order = {"episode": number, "direction": direction, "target": "0002", "attempt": 1, "name": name}
    where = {"database": database} if database else {}
    ran = {"command": ["alembic"], "revisions_before": ["0001"]}
    backend = MIGRATION_PID if name == SHOP else BILLING_PID
    told = trace_records(start, start + 1.0) if trace is None else trace
    records = [{**record, **({"backend": backend} if "backend" in record else {})} for record in told]
    ended = {"episode": number, "status": status, "exit_code": 0, "revisions_after": ["0002"]}
    return [
        Event(begin, Kind.MIGRATION_BEGIN, {**order, **where, **ran}),
        *(Event(r["mono"] - ZERO, Kind.TRACE, {"episode": number, "record": r}) for r in records),
        Event(start + 1.1, Kind.MIGRATION_END, {**ended, "reached": status == "ok", **end}),
    ]


def several_events(
    *episodes: Iterable[Event], rollback: bool = False, phases: Mapping[str, float] | None = None
) -> tuple[Event, ...]:
    """The events of a run of these episodes; of both upgrades, and rollbacks if asked for, where none is
    given.
    """
    chosen = list(episodes) or [
        episode(1, SHOP, begin=25.0, start=27.0),
        episode(2, BILLING, begin=28.2, start=30.0),
    ]
    if rollback:
        chosen += [
            episode(3, BILLING, "downgrade", begin=52.0, start=54.0),
            episode(4, SHOP, "downgrade", begin=55.2, start=57.0),
        ]
    log = events(phases=phases or (ROLLBACK_PHASES if rollback else None))
    others = [event for event in log if event.kind not in _MIGRATIONS]
    return tuple(sorted([*others, *(e for own in chosen for e in own)], key=lambda event: event.at))


def a_watch(until: float = 54.0, **changes: Any) -> Watch:
    """What the observer of billing's database recorded: that it saw everything, and no wait."""
    return replace(Watch(watched(until, backends=(BILLING_PID,))), **changes)


def several(*episodes: Iterable[Event], rollback: bool = False, **changes: Any) -> Record:
    """The record of such a run, with changes."""
    plan = several_plan(rollback)
    back = a_schema() if rollback else None
    whole = Part(a_schema(), a_schema(), back, back)
    until = 81.0 if rollback else 54.0
    given: dict[str, Any] = {
        "events": several_events(*episodes, rollback=rollback),
        "parts": {SHOP: whole, BILLING: whole},
        "elsewhere": {BILLING: a_watch(until)},
        "observed": watched(until),
        "schema_before": None,
        "schema_after": None,
    }
    return a_record(plan, **{**given, **changes})
