"""The ticker sees a hub that is held up."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from harness.clock import monotonic, wait_until
from harness.core.record import HealthPoint
from harness.load import health
from harness.load.health import Health


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Health]:
    """A ticker that wants to run as often as it can."""
    monkeypatch.setattr(health, "TICK_S", 0.001)
    ticking = Health()
    ticking.start()
    yield ticking
    ticking.stop()


def until_late(ticking: Health, ms: float) -> bool:
    """Whether a tick that came so late is noted within some seconds."""
    return wait_until(lambda: any(late >= ms for late in ticking._late_ms), 5, gevent.sleep, every=0.002)


def test_point(ticking: Health) -> None:
    assert until_late(ticking, 0)
    line = ticking.take("w", 3, 2)
    point = HealthPoint(at=1.0, **line)  # type: ignore[arg-type]
    assert (point.worker, point.users, point.in_flight) == ("w", 3, 2)
    assert point.memory_mb is not None
    assert point.memory_mb > 5
    assert point.cpu_ratio is not None
    assert len(point.late_ms) > 0
    assert all(late >= 0 for late in point.late_ms)


def test_a_busy_hub_is_late(ticking: Health) -> None:
    gevent.sleep(0)
    until = monotonic() + 0.03
    while monotonic() < until:  # nobody else gets to run
        pass
    assert until_late(ticking, 25)


def test_ticks_are_taken_once_and_end(ticking: Health) -> None:
    assert wait_until(lambda: bool(ticking.take("w", 0, 0)["late_ms"]), 5, gevent.sleep, every=0.002)
    ticking.stop()
    gevent.sleep(0)
    ticking.take("w", 0, 0)
    gevent.sleep(0.003)
    assert ticking.take("w", 0, 0)["late_ms"] == []
