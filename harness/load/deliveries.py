"""What the WebSockets of this process brought, until it is taken away: lines of `websocket.ndjson`.

Instants are `clock.monotonic()` seconds. Changes are stamped by another clock; delays are told by this
process's wall clock as it was when the run began, so that setting it meanwhile changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.clock import monotonic, utc_now
from harness.core.clock_offset import ClockBounds
from harness.core.secrets import mask

__all__ = ["WEBSOCKET_FILE", "Deliveries"]

WEBSOCKET_FILE = "websocket.ndjson"

_MOST_NAMES = 50
_OTHER = "other"


@dataclass
class _Counts:
    """What was counted since it was last taken; `connections` are those open now."""

    connections: int = 0
    delivered: int = 0
    missed: int = 0
    duplicated: int = 0
    reordered: int = 0
    reconnects: int = 0
    resumed: int | None = 0
    passed: int = 0
    settled: int = 0
    unsettled: int = 0
    delays_s: list[float] = field(default_factory=list)
    odd: dict[str, int] = field(default_factory=dict)


Write = Callable[[str, dict[str, Any], float], None]
"""Adds a line to a file of the run directory, with the instant it tells of."""


class Deliveries:
    """The WebSockets of one process in one run."""

    def __init__(self, worker: str, write: Write) -> None:
        self.count = _Counts()
        self._worker = worker
        self._write = write
        self._wall_ahead_s = utc_now().timestamp() - monotonic()
        self._clock = ClockBounds()
        self._used = False
        self._next = 0
        self._heard: dict[int, float] = {}
        self._silence_s: float | None = None
        self._statuses: list[tuple[int, int, float]] = []
        self._names: set[str] = set()

    # connections

    def connected(self) -> int:
        """A connection was made; returns its number."""
        self._used = True
        self.count.connections += 1
        self._next += 1
        return self._next

    def counts(self, connection: int, account: str, away_s: float | None, now: float) -> None:
        """From now on the service pushes what happens to the connection."""
        self._heard[connection] = now
        if away_s is not None:
            self.count.reconnects += 1
        line: dict[str, Any] = {"connection": connection, "account": account}
        if away_s is not None:
            line["away_s"] = round(away_s, 6)
        self._line(line, now)

    def ended(self, connection: int, account: str, cause: str, now: float) -> None:
        """A connection is over."""
        self.count.connections = max(self.count.connections - 1, 0)  # it may be of the run before
        self.heard(connection, now)
        self._heard.pop(connection, None)
        self._line({"connection": connection, "account": account, "ended": self._name(cause)}, now)

    def refused(self, cause: str) -> None:
        """No connection came about."""
        self.odd(f"refused: {cause}")

    def odd(self, what: str) -> None:
        """Something came that could not be read, or did not come about."""
        self._used = True
        name = self._name(what)
        self.count.odd[name] = self.count.odd.get(name, 0) + 1

    # messages

    def heard(self, connection: int, now: float) -> None:
        """A message came, or the connection's silence is over for another reason."""
        since = self._heard.get(connection)
        if since is not None:
            self._heard[connection] = now
            self._silence_s = max(self._silence_s or 0.0, now - since)

    def delivered(self, stamp: float | None, record: str | None, now: float) -> None:
        """A change came that was stamped so."""
        self.count.delivered += 1
        if stamp is not None:
            wall = self._wall(now)
            self.count.delays_s.append(round(wall - stamp, 6))
            self._clock.arrived(record, stamp, wall)

    def status(self, announcement: int, connection: int, now: float) -> None:
        """The migration's status came, as it was announced under that number."""
        self._statuses.append((announcement, connection, now))

    # what the service's clock is held against

    def creating(self, key: str, now: float) -> None:
        """A request is about to go out that creates the record `key`."""
        self._clock.sending(key, self._wall(now))

    def after(self, asked: float, stamp: float) -> None:
        """A change was stamped so that came about after the service was asked for something."""
        self._clock.after(self._wall(asked), stamp)

    def created(self, key: str, record: str) -> None:
        """The service calls that record by another id."""
        self._clock.named(key, record)

    # taking away

    def take(self, now: float) -> Iterator[dict[str, Any]]:
        """The counts since they were last taken, as a line; none before there was a WebSocket."""
        if not self._used:
            return
        statuses, self._statuses = self._statuses, []
        silent = [now - since for since in self._heard.values()]
        if self._silence_s is not None:
            silent.append(self._silence_s)
        counts, self.count = self.count, _Counts(self.count.connections)
        self._silence_s = None
        yield {
            "worker": self._worker,
            **asdict(counts),
            "silence_s": round(max(silent), 3) if silent else None,
            "clock": [_rounded(self._clock.low), _rounded(self._clock.high)],
            "statuses": [[number, connection, round(now - at, 6)] for number, connection, at in statuses],
        }

    def _wall(self, now: float) -> float:
        return self._wall_ahead_s + now

    def _line(self, line: dict[str, Any], at: float) -> None:
        self._write(WEBSOCKET_FILE, {"worker": self._worker, **line}, at)

    def _name(self, cause: str) -> str:
        """The cause without secrets; of very many kinds the later ones share a name."""
        cause = mask(cause)
        if cause not in self._names:
            if len(self._names) >= _MOST_NAMES:
                return _OTHER
            self._names.add(cause)
        return cause


def _rounded(bound: float | None) -> float | None:
    return None if bound is None else round(bound, 6)
