"""The recorder: turns what users do into packed records, in this process, until they are taken away.

Locust's `request` event reports the requests of any client
(https://docs.locust.io/en/stable/extending-locust.html#event-hooks); our own session calls `sent` and
`answered` besides, so that a request in flight is known. Instants that come in are `clock.monotonic()`
seconds; those that go out count from the worker's zero, and the master, who knows what that is in run time,
shifts them.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import gevent
import numpy as np
from locust.user import User

from harness.clock import monotonic
from harness.core.blocks import Block
from harness.core.client_limits import BY_HAND, Use
from harness.core.operations import (
    OPERATION_BYTES,
    KeyNumbers,
    OperationKind,
    OperationOutcome,
    draft_operation,
    pack_operations,
)
from harness.core.record import FinalRead
from harness.core.samples import DRAFT_TYPE, Outcome, draft_sample, pack_samples
from harness.core.secrets import mask
from harness.core.shapes import Shapes
from harness.core.traceparent import make, packed_start
from harness.load.causes import cause_of, is_dropped
from harness.load.deliveries import WEBSOCKET_FILE, Deliveries
from harness.load.messages import RunSettings, final_read_line

__all__ = ["Batch", "Recorder", "recorder"]

_OK = Outcome.OK
_OTHER = "other"
_EVER = float("inf")
_NAME_LENGTH = 200
_MOST_USES = 500  # a locustfile may make up classes as it goes


class _Names(dict[str, int]):
    """Numbers for names, given out as they are asked for; when they run out, all others share the last.

    `told` is how a name is told to others.
    """

    def __init__(self, first: int, last: int, told: Callable[[str], str] = str) -> None:
        self._told = told
        self._new: dict[str, str] = {}
        self._next = first
        self._last = last

    def __missing__(self, name: str) -> int:
        number = self._next
        if number == self._last:  # nor is it kept: there is no end of names
            self._new[str(number)] = _OTHER
            return number
        self[name] = number
        self._new[str(number)] = self._told(name)
        self._next += 1
        return number

    def take(self) -> dict[str, str]:
        """The names that are new since they were last taken, by number."""
        new, self._new = self._new, {}
        return new


def _shown_name(name: str) -> str:
    """An endpoint's name as others see it: it may be a URL that holds a password, or a very long one."""
    name = mask(name)
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


class _Stream:
    """The blocks made of one stream of records so far."""

    def __init__(self, worker: str, tables: dict[str, _Names]) -> None:
        self.sequence = 0
        self._worker = worker
        self._tables = tables

    def block(self, count: int, records: bytes, keys: tuple[int, bytes] = (0, b"")) -> Block:
        """The next block, of so many packed records, with the keys that are new."""
        new = {name: table.take() for name, table in self._tables.items()}
        tables = {name: names for name, names in new.items() if names}
        block = Block(self._worker, self.sequence, count, records, tables, keys)
        self.sequence += 1
        return block


@dataclass(frozen=True)
class Batch:
    """What was recorded since the last batch. `lines` are pairs of file name and line."""

    blocks: list[tuple[str, Block]]
    lines: list[tuple[str, dict[str, Any]]]
    seconds: float  # since the batch before
    sent: int
    latencies: list[float]  # seconds, of the requests that ended
    errors: int


class Recorder:
    """The record of one process. Before `begin` and after `end` it drops what it is told."""

    def __init__(self) -> None:
        self.settings: RunSettings | None = None
        self._tokens = count(1)
        self._clear("", 0.0)

    def _clear(self, worker: str, zero: float) -> None:
        self.worker = worker
        self.started = self.finished = self.unfinished = 0
        self._zero = zero
        self._in_flight: dict[int, tuple[str, float, float]] = {}
        self._endpoints = _Names(0, 0xFFFF, _shown_name)
        self._causes = _Names(1, 0xFF)
        self._accounts = _Names(0, 0xFFFFFFFF)
        self._samples = _Stream(worker, {"endpoints": self._endpoints, "causes": self._causes})
        self._operations = _Stream(worker, {"accounts": self._accounts})
        self._drafts = bytearray()
        self._booked = bytearray()
        self._keys = KeyNumbers()
        self._lines: list[tuple[str, dict[str, Any]]] = []
        self._reads_checked = 0
        self.websockets = Deliveries(worker, self.line)
        self.shapes = Shapes()
        self._logins = 0
        self._abandoned_at = float("-inf")
        self.uses: Counter[tuple[str, str, str]] = Counter()
        self._after_error: set[gevent.Greenlet] = set()
        self._taken_started = 0
        self._taken_at = zero

    def begin(self, worker: str, settings: RunSettings, zero: float) -> None:
        """Start a run's record from nothing; `zero` is the instant that packed instants count from."""
        self._clear(worker, zero)
        self.settings = settings

    def end(self) -> None:
        """Stop recording until the next `begin`."""
        self.settings = None

    def abandon(self, now: float) -> int:
        """Give up waiting for what is in flight; answers that come later are not recorded."""
        left, self._in_flight = self._in_flight, {}
        self._abandoned_at = now
        for endpoint, intended, sent in left.values():
            self._add(endpoint, intended, sent, now, Outcome.UNFINISHED, "")
        self.unfinished += len(left)
        return len(left)

    def cut(self, token: int, now: float) -> None:
        """The request of `token` ends without an answer, as its user is stopped."""
        request = self._in_flight.pop(token, None)
        if request is not None:
            self.unfinished += 1
            self._add(*request, now, Outcome.UNFINISHED, "")

    @property
    def in_flight(self) -> int:
        """Requests that were sent and not answered yet."""
        return len(self._in_flight)

    @property
    def blocks(self) -> dict[str, int]:
        """How many blocks of each stream were taken."""
        return {"samples": self._samples.sequence, "operations": self._operations.sequence}

    # requests

    def sent(self, endpoint: str, intended: float, sent: float) -> int:
        """A request is in flight; returns its token."""
        token = next(self._tokens)
        if self.settings is not None:
            self.started += 1
            self._in_flight[token] = endpoint, intended, sent
        return token

    def traceparent(self, token: int, user: int) -> str | None:
        """The header that ties what the service does for a request to its sample; None when none is recorded.

        `user` is the number of the user, from 1.
        """
        request = self._in_flight.get(token)
        return request and make(self.worker, packed_start(request[1] - self._zero), user, token)

    def answered(self, token: int, ended: float, outcome: Outcome, cause: str = "") -> None:
        """The request of `token` ended."""
        request = self._in_flight.pop(token, None)
        if request is not None:
            self.finished += 1
            endpoint, intended, sent = request
            number = self._causes[cause] if cause else 0  # as in `_add`: one call less for each request
            self._drafts += draft_sample(intended, sent, ended, self._endpoints[endpoint], outcome, number)

    def forget(self, token: int) -> None:
        """The request of `token` is over, and its `request` event makes the sample."""
        if self._in_flight.pop(token, None) is not None:
            self.started -= 1

    def sample(
        self, endpoint: str, intended: float, sent: float, ended: float, outcome: Outcome, cause: str = ""
    ) -> None:
        """A request or message that is known only now that it ended."""
        if self.settings is not None:
            self.started += 1
            self.finished += 1
            self._add(endpoint, intended, sent, ended, outcome, cause)

    def on_request(
        self,
        request_type: object = "",
        name: object = "",
        response_time: object = None,
        response: object = None,
        exception: object = None,
        start_time: object = None,
        url: object = None,
        in_flight: int | None = None,
        **_: object,
    ) -> None:
        """Listener of Locust's `request` event, for clients other than our own.

        `response_time` is in milliseconds; `start_time` is by the wall clock, and not every client sends it.
        A measurement passes `in_flight`, its token. A locustfile may fire the event with anything in it, or
        without: an answer that is ok and has no usable time is counted, and in no figure.
        """
        if self.settings is None:
            return
        if in_flight is not None and in_flight not in self._in_flight:
            return  # it was given up, and is `unfinished`
        took = response_time * 1e-3 if type(response_time) is float and 0.0 <= response_time < _EVER else None
        if took is None:
            took = _seconds(response_time, 1e-3)
        if url is None and in_flight is None:
            self.note(_user_class(), BY_HAND, Use.REQUESTS)
        if took is None and not exception:
            self.note(_user_class(), BY_HAND, Use.UNTIMED)
            return
        took = took or 0.0
        now = monotonic()
        began = now - took
        if (told := start_time if type(start_time) is float else _seconds(start_time)) is not None:
            # Not `took`: the event may fire after the task has checked the answer. Less than that is a wall
            # clock that was set back, more than the run's age a time of another clock.
            told = now - (time.time() - told)
            if self._zero <= told < began:
                began = told
        if began < self._abandoned_at and url is not None:
            return  # only Locust's HTTP sessions send `url`, and theirs was in flight: it is `unfinished`
        if (exception or self._after_error) and url is not None and self._repeats(exception, response):
            return
        self.started += 1
        self.finished += 1
        endpoint = f"{request_type} {name}"
        if not exception:
            self._add(endpoint, began, began, began + took, _OK, "")
        else:
            cause = cause_of(exception, response)
            self._add(endpoint, began, began, began + took, Outcome.ERROR, cause)

    def _repeats(self, exception: object, response: object) -> bool:
        """Whether a request failed only because the connection ended with the user's last answer, a 5xx.

        Many servers close the connection after one; what fails on it then is the same failure once more.
        """
        user = gevent.getcurrent()
        after_error = user in self._after_error
        self._after_error.discard(user)
        if after_error and is_dropped(exception):
            self.note(_user_class(), "", Use.AFTER_ERROR)
            return True
        status = getattr(response, "status_code", None)
        if exception and isinstance(status, int) and status >= 500:
            self._after_error.add(user)
        return False

    def note(self, user: str, client: str, use: str, count: int = 1) -> None:
        """A user of class `user` did what the verdict's limits tell of (`core/client_limits.py`)."""
        key = (user, client, use)
        if self.settings is not None and (key in self.uses or len(self.uses) < _MOST_USES):
            self.uses[key] += count

    def _add(
        self, endpoint: str, intended: float, sent: float, ended: float, outcome: Outcome, cause: str
    ) -> None:
        number = self._causes[cause] if cause else 0
        self._drafts += draft_sample(intended, sent, ended, self._endpoints[endpoint], outcome, number)

    # the ledger and the probes

    def operation(
        self,
        account: str,
        key: uuid.UUID,
        kind: OperationKind,
        version: int,
        invoked: float,
        ended: float,
        outcome: OperationOutcome,
        shown: int = 0,
    ) -> None:
        """An attempted write of `account` on the record `key`, `version` being what it would leave behind; or
        a read of it that showed it `shown` times, in that version (0: it told none).
        """
        if self.settings is None:
            return
        whose, what = self._accounts[account], self._keys[key.int]
        self._booked += draft_operation(whose, kind, outcome, version, invoked, ended, what, shown)

    def logged_in(self) -> None:
        """An account was given fresh credentials by a login."""
        self._logins += 1

    def take_logins(self) -> int:
        """How many logins there were since the last call."""
        logins, self._logins = self._logins, 0
        return logins

    def read_checked(self) -> None:
        """What a read returned was checked for its account's canary and was right."""
        self._reads_checked += 1

    def probe(self, account: str, probe: str, outcome: str, detail: str = "") -> None:
        """An isolation probe or a checked read said something: `refused`, `leaked` or `error`."""
        self.line(
            "probes.ndjson",
            {"account": account, "probe": probe, "outcome": outcome, "detail": mask(detail)},
            monotonic(),
        )

    def final_read(self, read: FinalRead) -> None:
        """What one account was shown after the load stopped; `read.at` is a `clock.monotonic()` instant."""
        error = read.error and mask(read.error)
        own = replace(read, error=error, worker=self.worker)
        self.line("final_read.ndjson.gz", final_read_line(own), read.at)

    # taking away

    def line(self, file: str, line: dict[str, Any], at: float) -> None:
        """Add a line to one of the run directory's `.ndjson` files; `at` is the instant it tells of."""
        if self.settings is not None:
            self._lines.append((file, {**line, "at": round(at - self._zero, 6)}))

    def take(self, now: float) -> Batch:
        """Everything recorded since it was last taken."""
        self._count_lines(now)
        drafts, self._drafts = self._drafts, bytearray()
        booked, self._booked = self._booked, bytearray()
        drafted = np.frombuffer(drafts, DRAFT_TYPE)
        blocks = []
        if drafts:
            blocks.append(("samples", self._samples.block(len(drafted), pack_samples(drafts, self._zero))))
        if booked:
            records = pack_operations(booked, self._zero)
            operations = len(records) // OPERATION_BYTES
            block = self._operations.block(operations, records, self._keys.take())
            blocks.append(("operations", block))
        sent, self._taken_started = self.started - self._taken_started, self.started
        seconds, self._taken_at = now - self._taken_at, now
        lines, self._lines = self._lines, []
        errors = int(np.count_nonzero(drafted["outcome"] != _OK))
        return Batch(blocks, lines, seconds, sent, (drafted["ended"] - drafted["intended"]).tolist(), errors)

    def _count_lines(self, now: float) -> None:
        """Lines for what is only counted: checked reads, and what came over WebSockets."""
        if self._reads_checked:
            line = {"reads_checked": self._reads_checked, "worker": self.worker}
            self.line("probes.ndjson", line, now)
            self._reads_checked = 0
        for at, line in self.shapes.take(now):
            self.line("shapes.ndjson", line, at)
        for line in self.websockets.take(now):
            self.line(WEBSOCKET_FILE, line, now)


def _seconds(value: object, unit: float = 1.0) -> float | None:
    """What a locustfile gave as a time in units of so many seconds; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value * unit if math.isfinite(value) and value >= 0 else None


def _user_class() -> str:
    """The class of the user whose greenlet this is, "" in a greenlet of the locustfile's own."""
    arguments = getattr(gevent.getcurrent(), "args", ())
    return type(arguments[0]).__name__ if arguments and isinstance(arguments[0], User) else ""


recorder = Recorder()
"""The record of this process."""
