"""What the WebSockets of a process brought becomes lines of websocket.ndjson."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from harness.load import deliveries
from harness.load.deliveries import Deliveries

ZERO = 1000.0
"""The monotonic clock when the wall clock stands at 5000."""


@pytest.fixture
def lines() -> list[tuple[dict[str, Any], float]]:
    return []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, lines: list[tuple[dict[str, Any], float]]) -> Deliveries:
    monkeypatch.setattr(deliveries, "monotonic", lambda: ZERO)
    monkeypatch.setattr(deliveries, "utc_now", lambda: datetime.fromtimestamp(5000.0, UTC))
    return Deliveries("w1", lambda _file, line, at: lines.append((line, at)))


def line(told: Deliveries, now: float = ZERO + 10) -> dict[str, Any]:
    [found] = told.take(now)
    return found


def test_there_is_no_line_before_there_was_a_websocket(told: Deliveries) -> None:
    assert list(told.take(ZERO)) == []


def test_counts_are_told_once_and_connections_stay(told: Deliveries) -> None:
    assert (told.connected(), told.connected()) == (1, 2)
    told.count.missed += 3
    first, second = line(told), line(told)
    assert (first["connections"], first["missed"]) == (2, 3)
    assert (second["connections"], second["missed"]) == (2, 0)


def test_a_connection_is_told_when_it_begins_to_count_and_when_it_ends(
    told: Deliveries, lines: list[tuple[dict[str, Any], float]]
) -> None:
    number = told.connected()
    told.counts(number, "ada", None, ZERO + 1)
    told.counts(number, "ada", 0.25, ZERO + 2)
    told.ended(number, "ada", "closed with 1012", ZERO + 3)
    one = {"worker": "w1", "connection": 1, "account": "ada"}
    assert lines == [
        (one, ZERO + 1),
        ({**one, "away_s": 0.25}, ZERO + 2),
        ({**one, "ended": "closed with 1012"}, ZERO + 3),
    ]
    assert (line(told)["connections"], told.count.reconnects) == (0, 0)


def test_a_delay_counts_from_the_stamp_by_the_clock_that_the_run_began_with(told: Deliveries) -> None:
    told.connected()
    told.creating("d1", ZERO + 1)
    told.delivered(5001.2, "d1", ZERO + 1.5)
    found = line(told)
    assert found["delays_s"] == [pytest.approx(0.3)]
    assert found["clock"] == [pytest.approx(-0.3), pytest.approx(0.2)]


def test_a_change_without_a_stamp_is_delivered_without_a_delay(told: Deliveries) -> None:
    told.connected()
    told.delivered(None, "d1", ZERO + 1)
    found = line(told)
    assert (found["delivered"], found["delays_s"], found["clock"]) == (1, [], [None, None])


def test_silence_is_the_longest_of_those_that_ended_and_those_that_last(told: Deliveries) -> None:
    quiet, lively = told.connected(), told.connected()
    told.counts(quiet, "ada", None, ZERO)
    told.counts(lively, "bob", None, ZERO)
    told.heard(lively, ZERO + 3)
    assert line(told, ZERO + 2)["silence_s"] == 3.0
    assert line(told, ZERO + 5)["silence_s"] == 5.0
    told.ended(quiet, "ada", "connection lost", ZERO + 7)
    assert line(told, ZERO + 7)["silence_s"] == 7.0
    assert line(told, ZERO + 8)["silence_s"] == 5.0


def test_without_an_open_connection_nobody_listens_to_silence(told: Deliveries) -> None:
    told.refused("connection refused")
    assert line(told)["silence_s"] is None


def test_a_status_is_told_with_its_age(told: Deliveries) -> None:
    told.connected()
    told.status(4, 1, ZERO + 9.5)
    assert line(told, ZERO + 10)["statuses"] == [[4, 1, 0.5]]


def test_names_are_masked_and_not_without_number(told: Deliveries) -> None:
    told.odd("Bearer abc.def.ghi")
    for number in range(60):
        told.refused(f"cause {number}")
    odd = line(told)["odd"]
    assert "Bearer ***" in odd
    assert (len(odd), odd["other"]) == (51, 11)
