"""Gates of what is pushed: when they are red, and when they cannot tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.events import Kind
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.judge import judge
from harness.core.metrics import Selector, measure
from harness.core.record import Record, SocketChange
from harness.core.verdict import GateResult
from tests.fix_record import a_record, connected, events, messages


def status(record: Record) -> GateResult:
    [gate] = [gate for gate in check_gates(record.plan) if gate.name == "ws_status"]
    return gate.result(facts_of(record))


def announcing(**changes: Any) -> Record:
    """A run whose one announcement went otherwise."""
    log = [
        replace(event, data={**event.data, **changes}) if event.kind == Kind.ANNOUNCED else event
        for event in events()
    ]
    return a_record(events=tuple(log))


def test_status_that_comes_in_time_is_green() -> None:
    seen = status(a_record())
    assert (seen.status, seen.samples) == ("pass", 1)
    assert seen.observed == pytest.approx(0.1)


def test_status_that_comes_late_is_red_though_none_is_missing() -> None:
    seen = status(a_record(websocket=messages(statuses=((1, 1, 1.5),))))
    assert (seen.status, seen.why) == ("fail", "")
    assert seen.observed == pytest.approx(2.5)


def test_status_that_never_came_to_one_of_two_is_red_and_named() -> None:
    seen = status(a_record(sockets=connected(SocketChange(3.0, "w1", 2, "bob"))))
    assert (seen.status, seen.observed, seen.unit, seen.samples) == ("fail", 1, "count", 2)
    assert seen.why == "1 of 2 never came: started (announcement 1) to bob"


def test_status_that_the_service_did_not_take_decides_nothing() -> None:
    seen = status(announcing(error="HTTPError"))
    assert (seen.status, seen.why) == ("inconclusive", "the service took none of 1 announcements")


def test_status_of_nothing_decides_nothing() -> None:
    silent = tuple(event for event in events() if event.kind != Kind.ANNOUNCED)
    assert status(a_record(events=silent)).why == "nothing was announced"


def test_delays_by_a_clock_that_nobody_knows_decide_nothing() -> None:
    record = a_record(websocket=messages(clock=(-0.1, None)))
    [seen] = [result for result in judge(record).gates if result.name == "ws_delivery"]
    assert seen.status == "inconclusive"
    assert "how far the clock that stamps changes is from this machine's is not known" in seen.why
    assert judge(record).details["websocket"]["delivery_p99_s"] is None


def test_delays_by_a_clock_that_is_minutes_off_are_judged_by_the_right_one() -> None:
    behind = messages(delay_s=300.05, clock=(-300.001, -299.999))
    told = judge(a_record(websocket=behind)).details["websocket"]
    assert (told["delivery_p99_s"], told["clock_ahead_s"], told["clock_error_s"]) == (0.05, -300.0, 0.001)


def test_no_missed_message_is_not_green_where_no_last_change_is_known() -> None:
    facts = facts_of(a_record(websocket=messages(settled=0, unsettled=1)))
    found = measure(facts, Selector("ws_missed"))
    assert (found.value, found.why) == (None, "whether the last changes came could not be found out")


def test_missed_messages_stay_red_where_no_last_change_is_known() -> None:
    facts = facts_of(a_record(websocket=messages(settled=0, unsettled=1, missed=2)))
    assert measure(facts, Selector("ws_missed")).value == 2.0


def test_where_nothing_came_the_most_frequent_oddity_is_told() -> None:
    odd = {"refused: HTTP 403": 40, "a message that is not JSON": 2}
    facts = facts_of(a_record(websocket=messages(0, odd=odd)))
    for metric in ("ws_missed", "ws_delivery_p99"):
        assert measure(facts, Selector(metric)).why == "no message was delivered (40 × refused: HTTP 403)"


def test_limits_tell_what_was_not_judged_of_websockets() -> None:
    limits = judge(a_record(websocket=messages(unsettled=2, passed=5, odd={"refused: timed out": 3}))).limits
    text = " ".join(limits)
    assert "Of 2 WebSocket connections it is not known whether the last changes came" in text
    assert "5 changes were made while an account's WebSocket was broken" in text
    assert "WebSocket: 3 × refused: timed out." in text


def test_limits_say_nothing_of_websockets_that_went_well() -> None:
    assert not any("WebSocket" in limit for limit in judge(a_record()).limits)
