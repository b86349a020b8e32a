"""The record: everything a run wrote down, read back from closed files. The only thing that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.contents import Contents
from harness.core.events import Event
from harness.core.observation import Observed, ObserverLine
from harness.core.operations import OperationTable
from harness.core.plan import Plan
from harness.core.samples import SampleTable
from harness.core.schema_state import SchemaState
from harness.core.waits import Wait

__all__ = [
    "FinalRead",
    "Found",
    "HealthPoint",
    "Part",
    "Probe",
    "Record",
    "Said",
    "SocketChange",
    "Total",
    "TotalRead",
    "Tried",
    "Watch",
    "WebSocketPoint",
]


@dataclass(frozen=True, slots=True)
class Found:
    """One record of an account as the final read found it: its key, its version, and the canary it bears.

    `content` is the version that the record's text claims, None when the text is not one of this run's.
    """

    key: str
    version: int
    canary: str
    content: int | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """The exact sum of `count` amounts of an account; `name` is that of their declaration."""

    name: str
    amount: str
    count: int


@dataclass(frozen=True, slots=True)
class TotalRead:
    """What a read during the run, which ended `at` and took so many seconds, came to."""

    at: float
    account: str
    name: str
    amount: str
    count: int
    took_s: float


@dataclass(frozen=True, slots=True)
class ShapePoint:
    """What an endpoint answered in one second about users' own records, as to a `name` that its first answer
    did not have (`core/shapes.py`); without a name, that its answers are looked at from then on.
    """

    at: float
    endpoint: str
    name: str = ""
    shown: int = 0
    renewed: int = 0
    fresh: int = 0
    taken_back: int = 0
    other: int = 0
    example: str = ""


@dataclass(frozen=True)
class FinalRead:
    """All records that one account was shown after the load stopped.

    `error` says why the list is not whole, None when it is. `stored` is what SQL found for the keys of this
    run, None when no database was asked, as for `stored_totals` and the keys `stored_transfers`. `totals` are
    what its amounts came to, those that could be read.
    """

    account: str
    at: float
    found: tuple[Found, ...]
    error: str | None = None
    stored: tuple[Found, ...] | None = None
    worker: str = ""
    totals: tuple[Total, ...] = ()
    stored_totals: tuple[Total, ...] | None = None
    stored_transfers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One isolation probe or checked read that said something: outcome `refused`, `leaked` or `error`."""

    at: float
    account: str
    probe: str  # foreign_read | canary
    outcome: str
    detail: str = ""


Tried = tuple[str, str, str]
"""The kind of a probe, its outcome and a detail."""

Said = tuple[str, str, str, str]
"""The same, after the account."""


@dataclass(frozen=True, slots=True)
class HealthPoint:
    """A worker's own health over about one second."""

    at: float
    worker: str
    users: int
    in_flight: int
    cpu_ratio: float | None  # of one core, 0–1
    memory_mb: float | None
    late_ms: tuple[float, ...]  # how late each tick of the hub came
    logins: int | None = None  # accounts that were given credentials by a login
    due: int | None = None  # arrivals so far in this run
    begun: int | None = None  # of them, tasks that began
    shed: int | None = None  # of them, left out as too much was in flight


@dataclass(frozen=True, slots=True)
class WebSocketPoint:
    """What one worker's WebSockets received over about one second.

    `delays_s` are from a change's stamp to its arrival by the worker's own clock, and `clock` are the lower
    and the upper bound of how far the stamps' clock is ahead of that (`core/clock_offset.py`), so far as they
    are known by then. `statuses` are arrivals of the migration's status: the announcement's number, the
    connection's, and how many seconds before `at`. `odd` counts by name what could not be read, and attempts
    to connect that came to nothing.
    """

    at: float
    worker: str
    connections: int
    delivered: int
    missed: int
    duplicated: int
    reordered: int
    reconnects: int
    delays_s: tuple[float, ...]
    resumed: int | None = 0  # delivered, though made while the account was away; None: not known
    passed: int = 0  # made while it was away, and not to be had
    silence_s: float | None = None  # the longest time that an open connection brought no message
    settled: int = 0  # connections whose last change is known to have come, or counts as missed
    unsettled: int = 0  # those of which it could not be found out
    clock: tuple[float | None, float | None] = (None, None)
    statuses: tuple[tuple[int, int, float], ...] = ()
    odd: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SocketChange:
    """A worker's WebSocket began to count, or ended: `ended` then says why.

    `connection` is its number within the worker. `away_s` is how long the account had been without one.
    """

    at: float
    worker: str
    connection: int
    account: str
    ended: str = ""
    away_s: float | None = None


@dataclass(frozen=True)
class Watch:
    """What the observer of one database recorded."""

    observed: Observed = field(default_factory=Observed)
    waits: tuple[Wait, ...] = ()
    database: tuple[ObserverLine, ...] = ()


@dataclass(frozen=True)
class Part:
    """What a run of several migrations recorded of one alone: its database's schema around its upgrade and
    its rollback, and what a linter predicted of its upgrade.
    """

    before: SchemaState | None = None
    after: SchemaState | None = None
    before_rollback: SchemaState | None = None
    after_rollback: SchemaState | None = None
    predictions: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Record:
    """A run directory's content. `missing` names, in words for a person, what should be there and is not.

    `incomplete_workers` are those of whose operations some blocks never came: what they wrote is not all
    known. `incomplete_samples` are those of whose samples some never came: how they were answered is not.
    `waits`, `observed` and `database` are of the run's own database; `elsewhere` has those of others that it
    migrates, by the name of the first migration there. `parts` are by the name of the migration, and empty
    where there is only one. `contents` says by database, likewise, what became of its rows in a run that
    rolled back.
    """

    plan: Plan
    environment: Mapping[str, Any]
    events: tuple[Event, ...]
    samples: SampleTable
    operations: OperationTable = field(default_factory=lambda: OperationTable.join({}, ()))
    final_reads: tuple[FinalRead, ...] = ()
    totals: tuple[TotalRead, ...] = ()
    shapes: tuple[ShapePoint, ...] = ()
    reads_checked: int = 0
    probes: tuple[Probe, ...] = ()
    health: tuple[HealthPoint, ...] = ()
    websocket: tuple[WebSocketPoint, ...] = ()
    sockets: tuple[SocketChange, ...] = ()
    waits: tuple[Wait, ...] = ()
    observed: Observed = field(default_factory=Observed)
    database: tuple[ObserverLine, ...] = ()
    schema_before: SchemaState | None = None
    schema_after: SchemaState | None = None
    schema_killed: SchemaState | None = None  # as a drill's SIGKILL of the migration left it
    schema_after_rollback: SchemaState | None = None
    predictions: Mapping[str, Any] | None = None
    missing: tuple[str, ...] = ()
    baseline: Record | None = None  # the run that gates compare with, as it was when this one began
    incomplete_workers: tuple[str, ...] = ()
    incomplete_samples: tuple[str, ...] = ()
    elsewhere: Mapping[str, Watch] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    contents: Mapping[str, Contents] = field(default_factory=dict)

    @property
    def watches(self) -> Mapping[str, Watch]:
        """What was watched, by database; "" is the run's own."""
        return {"": Watch(self.observed, self.waits, self.database), **self.elsewhere}
