"""What the master and its workers tell each other, over Locust's own connection.

Locust packs messages with msgpack: dicts with string keys, lists, numbers, text and bytes. A local run sends
the same messages to itself. Every message about a run bears its run id, so that a late one is not mistaken
for one of the next run. What a worker says bears its `number` and is acknowledged (`load/mail.py`), but for
PONG, which is worth something only at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from harness.core.arrivals import SCHEDULED
from harness.core.record import FinalRead, Found, Total

__all__ = ["LOCAL", "Message", "RunSettings", "final_read_line", "final_read_of"]

LOCAL = "local"
"""The worker id of a run in one process, as Locust itself calls its one node."""


class Message:
    """The types of message, with the keys of their data besides `run`."""

    # master → worker
    BEGIN = "mul_begin"  # code (of the master, see load/code.py), settings
    ACK = "mul_ack"  # expected (the number of the letter that comes next: all before it are here)
    PING = "mul_ping"  # sent (the master's clock)
    RATE = "mul_rate"  # at (on the worker's clock), rate, over_s
    DRAIN = "mul_drain"  # within_s
    PROBE = "mul_probe"  # before (on the worker's clock), accounts, per_second, within_s
    ISOLATE = "mul_isolate"  # per_second, within_s, own_accounts
    DROP = "mul_drop"  # (every WebSocket connection)
    READ_BACK = "mul_read_back"  # within_s
    FINISH = "mul_finish"

    # worker → master
    JOINED = "mul_joined"  # pid, zero (the worker's clock when it began), refused (why it cannot take part)
    PONG = "mul_pong"  # sent (as in the ping), clock (the worker's)
    # blocks [[stream, bytes]], lines [[file, line]]; for people: seconds, sent, ended, latencies, errors
    RECORDS = "mul_records"
    DRAINED = "mul_drained"  # left (how many requests were still in flight)
    PROBED = "mul_probed"
    ISOLATED = "mul_isolated"
    DROPPED = "mul_dropped"  # connections
    READ = "mul_read"
    # samples, operations (blocks sent), started, finished, unfinished, uses [[user, client, what, count]]
    FINAL = "mul_final"


@dataclass(frozen=True)
class RunSettings:
    """What one worker has to know of a run; no plan and no secret travels.

    `target_rate` is the one to begin with, 0: it is told (RATE); `rate_changes`, whether another may be told.
    `worker_index` counts from 0 and is below `worker_count`. `accounts` is how many accounts the
    service has, of which the workers share out their own; they read `accounts_file` themselves.
    """

    run_id: str
    canary: str
    seed: int
    users: int
    target_rate: float | None
    worker_index: int
    worker_count: int
    accounts: int
    accounts_file: str | None = None
    arrivals: str = SCHEDULED
    max_in_flight: int | None = None
    rate_changes: bool = False

    def as_message(self) -> dict[str, Any]:
        """The settings as a message's data."""
        return asdict(self)

    @classmethod
    def from_message(cls, data: Mapping[str, Any]) -> RunSettings:
        """The settings of a message's data."""
        return cls(**data)


@dataclass(frozen=True)
class ProbeOrder:
    """What a worker is to try at the end of a run: tokens and logins of up to `accounts` accounts that were
    logged in `before` an instant of the worker's clock, so many accounts `per_second`, all `within_s`.
    """

    before: float
    accounts: int
    per_second: float
    within_s: float

    def as_message(self) -> dict[str, Any]:
        """The order as a message's data."""
        return asdict(self)

    @classmethod
    def from_message(cls, data: Mapping[str, Any]) -> ProbeOrder:
        """The order of a message's data."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class IsolationOrder:
    """What one worker is to try on records and tokens: so many requests `per_second`, all `within_s`.

    `own_accounts` says that a user's own account may be logged in for once more, where no other is free.
    """

    per_second: float
    within_s: float
    own_accounts: bool

    def as_message(self) -> dict[str, Any]:
        """The order as a message's data."""
        return asdict(self)

    @classmethod
    def from_message(cls, data: Mapping[str, Any]) -> IsolationOrder:
        """The order of a message's data."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


def final_read_line(read: FinalRead) -> dict[str, Any]:
    """The line of `final_read.ndjson.gz`."""
    return {
        "account": read.account,
        "at": read.at,
        "found": [_found_line(found) for found in read.found],
        "error": read.error,
        "stored": None if read.stored is None else [_found_line(found) for found in read.stored],
        "worker": read.worker,
        "totals": [_total_line(total) for total in read.totals],
        "stored_totals": None
        if read.stored_totals is None
        else [_total_line(total) for total in read.stored_totals],
        "stored_transfers": None if read.stored_transfers is None else list(read.stored_transfers),
    }


def final_read_of(line: Mapping[str, Any]) -> FinalRead:
    """The final read of such a line."""
    stored = line["stored"]
    return FinalRead(
        account=line["account"],
        at=line["at"],
        found=tuple(Found(*found) for found in line["found"]),
        error=line["error"],
        stored=None if stored is None else tuple(Found(*found) for found in stored),
        worker=line["worker"],
        totals=tuple(Total(*total) for total in line["totals"]),
    )


def _total_line(total: Total) -> list[Any]:
    return [total.name, total.amount, total.count]


def _found_line(found: Found) -> list[Any]:
    return [found.key, found.version, found.canary, found.content]
