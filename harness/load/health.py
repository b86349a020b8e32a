"""How fit this process is to measure: a hub that comes late makes every latency it reports too long."""

from __future__ import annotations

import gevent
import psutil

from harness.clock import monotonic

__all__ = ["TICK_S", "Health"]

TICK_S = 0.02
"""How often the ticker wants to be woken by the hub."""


class Health:
    """Watches the hub, CPU and memory of its own process, between `start` and `stop`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._late_ms: list[float] = []
        self._ticker: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to tick; CPU is counted from here."""
        self.stop()
        self._late_ms = []
        self._process.cpu_percent(None)
        self._ticker = gevent.spawn(self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._ticker is not None:
            self._ticker.kill(block=False)
            self._ticker = None

    def _tick(self) -> None:
        while True:
            due = monotonic() + TICK_S
            gevent.sleep(TICK_S)
            self._late_ms.append(round(max(monotonic() - due, 0.0) * 1000, 2))

    def take(self, worker: str, users: int, in_flight: int) -> dict[str, object]:
        """The line of `health.ndjson` (but for its instant) for the time since the last one."""
        late, self._late_ms = self._late_ms, []
        return {
            "worker": worker,
            "users": users,
            "in_flight": in_flight,
            "cpu_ratio": round(self._process.cpu_percent(None) / 100, 4),
            "memory_mb": round(self._process.memory_info().rss / 1e6, 1),
            "late_ms": late,
        }
