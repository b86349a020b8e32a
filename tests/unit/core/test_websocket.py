"""What came over WebSockets, and whom the migration's status reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.record import SocketChange, WebSocketPoint
from harness.core.timeline import Window
from harness.core.websocket import Broadcasts, WebSockets, broadcasts, websockets
from tests.fix_record import messages


def point(at: float = 30.0, worker: str = "w1", **changes: Any) -> WebSocketPoint:
    return replace(messages(1)[0], at=at, worker=worker, **{"statuses": (), **changes})


def test_nothing_recorded_is_unknown() -> None:
    assert websockets(()) == WebSockets()
    assert WebSockets().delivered is None


def test_messages_are_summed_and_connections_too_at_their_most() -> None:
    found = websockets((*messages(10, missed=1), *messages(5), point(worker="w2", connections=12)))
    assert (found.delivered, found.missed, found.connections) == (16, 1, 42)


def test_reconnects_tell_how_long_they_took_and_what_came_of_the_changes() -> None:
    ends = (SocketChange(30.0, "w1", 1, "ada", ended="closed with 1012"),)
    again = tuple(SocketChange(31.0, "w1", number, "ada", away_s=number / 10) for number in (2, 3))
    found = websockets((point(reconnects=2, resumed=7, passed=3),), (*ends, *again))
    assert (found.reconnects, found.resumed, found.passed) == (2, 7, 3)
    assert found.reconnect_p99_s == pytest.approx(0.299)
    assert found.ends == {"closed with 1012": 1}


def test_of_what_is_resumed_nothing_is_told_where_one_worker_does_not_know() -> None:
    assert websockets((point(resumed=3), point(resumed=None))).resumed is None


def test_silence_counts_while_there_is_load() -> None:
    quiet = (point(10.0, silence_s=2.0), point(20.0, silence_s=9.0), point(21.0, silence_s=None))
    assert websockets(quiet).longest_silence_s == 9.0
    assert websockets(quiet, load=Window("load", 0.0, 20.0)).longest_silence_s == 2.0


def test_what_could_not_be_read_is_counted_by_name() -> None:
    odd = (point(odd={"a": 1, "refused: HTTP 503": 2}), point(odd={"a": 1}))
    assert websockets(odd).odd == {"a": 2, "refused: HTTP 503": 2}


# clocks


def test_a_clock_that_is_minutes_ahead_is_taken_off_the_delays() -> None:
    ahead = point(delays_s=(-179.9, -179.0), clock=(179.998, 180.002), delivered=2)
    found = websockets((ahead,))
    assert found.delays_s == pytest.approx((0.1, 1.0))
    assert found.offset is not None
    assert (found.offset.ahead_s, found.offset.error_s) == pytest.approx((180.0, 0.002))


def test_bounds_of_all_seconds_count() -> None:
    early, late = point(1.0, clock=(None, None)), point(2.0, clock=(-0.01, 0.01))
    assert websockets((early, late)).delivery_p99_s == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("clock", "why"),
    [((-0.1, None), "neither a new record nor a new stream told"), ((60.0, 0.1), "it was set meanwhile")],
)
def test_without_a_known_offset_no_delay_is_told(clock: tuple[float, float | None], why: str) -> None:
    found = websockets((point(), point(worker="w2", clock=clock)))
    assert (found.delivery_p99_s, found.delays_s) == (None, ())
    assert why in found.why_no_delay


def test_a_worker_that_received_nothing_needs_no_clock() -> None:
    silent = point(worker="w2", delivered=0, delays_s=(), clock=(None, None))
    assert websockets((point(), silent)).delivery_p99_s == pytest.approx(0.05)


def test_changes_that_tell_no_time_have_no_delay() -> None:
    assert websockets((point(delays_s=()),)).why_no_delay == "no change tells when it was made"


# the migration's status


def announced(at: float, number: int = 1, error: str | None = None) -> Event:
    return Event(at, Kind.ANNOUNCED, {"number": number, "status": "statement", "took_s": 0.1, "error": error})


def opened(connection: int, at: float = 2.0, worker: str = "w1") -> SocketChange:
    return SocketChange(at, worker, connection, f"account-{connection}")


def ended(connection: int, at: float, worker: str = "w1") -> SocketChange:
    return SocketChange(at, worker, connection, f"account-{connection}", ended="connection lost")


def told(*events: Event, arrivals: Any = (), sockets: Any = (), load_end: float = 60.0) -> Broadcasts:
    return broadcasts(events, (point(40.0, statuses=tuple(arrivals)),), sockets, load_end)


def test_a_status_that_reached_everybody_is_delivered() -> None:
    found = told(announced(30.0), arrivals=((1, 1, 9.9), (1, 2, 9.5)), sockets=(opened(1), opened(2)))
    assert (found.due, found.delivered, found.missing) == (2, 2, ())
    assert found.p99_s == pytest.approx(0.5)


def test_a_status_that_never_came_is_missing_and_named() -> None:
    found = told(announced(30.0), arrivals=((1, 1, 9.9),), sockets=(opened(1), opened(2)))
    assert (found.due, found.delivered, found.p99_s) == (2, 1, None)
    assert found.missing == ("statement (announcement 1) to account-2",)


def test_a_status_is_due_to_nobody_who_came_later_or_went_before_it_was_late() -> None:
    sockets = (opened(1, 30.1), opened(2), ended(2, 31.9), opened(3), ended(3, 29.0))
    assert told(announced(30.0), sockets=sockets).due == 0


def test_a_connection_that_ended_after_the_status_was_late_misses_it() -> None:
    assert told(announced(30.0), sockets=(opened(1), ended(1, 32.5))).missing


def test_a_status_is_not_late_when_the_load_ended_before() -> None:
    assert told(announced(30.0), sockets=(opened(1),), load_end=31.0).due == 0


def test_a_status_that_came_late_is_no_missing_one() -> None:
    found = told(announced(30.0), arrivals=((1, 1, 5.0),), sockets=(opened(1),))
    assert found.missing == ()
    assert found.p99_s == pytest.approx(5.0)


def test_an_announcement_that_the_service_did_not_take_is_due_to_nobody() -> None:
    found = told(announced(30.0, error="HTTPError"), sockets=(opened(1),))
    assert (found.announced, found.refused, found.due) == (1, 1, 0)


def test_workers_count_their_connections_each_from_one() -> None:
    found = told(announced(30.0), arrivals=((1, 1, 9.9),), sockets=(opened(1), opened(1, worker="w2")))
    assert (found.due, found.delivered) == (2, 1)


def test_a_status_that_came_twice_came_first() -> None:
    found = told(announced(30.0), arrivals=((1, 1, 9.9), (1, 1, 2.0)), sockets=(opened(1),))
    assert found.delays_s == pytest.approx((0.1,))


def test_one_in_a_hundred_may_be_late() -> None:
    sockets = [opened(number) for number in range(100)]
    late = [(1, number, 9.9) for number in range(99)] + [(1, 99, 1.0)]
    assert told(announced(30.0), arrivals=late, sockets=sockets).p99_s == pytest.approx(0.1)
