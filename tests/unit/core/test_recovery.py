"""How things came back from a fault, from literal records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.drill_grades import drill_results
from harness.core.drills import DrillResult
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.judge import judge
from harness.core.operations import OperationKind
from harness.core.record import FinalRead, Record, WebSocketPoint
from harness.core.recovery import BOUNDS_S
from harness.core.samples import Outcome, SampleTable
from tests.fix_ledger import an_operation, found, operations_of
from tests.fix_record import PHASES, a_plan, a_record, events, healthy
from tests.fix_samples import joined, steady, without

DRILL = {"drill": 52.0, "drill_recover": 54.0, "drain": 69.0, "final_read": 70.0}
LEFT = {"sessions": 12, "long_transactions": 0, "waiting": 0, "prepared": 0}


def sockets(
    after: int = 30, reconnects_at: float | None = None, missed: int = 0
) -> tuple[WebSocketPoint, ...]:
    """Thirty WebSockets, of which `after` are left once the fault was there."""
    return tuple(
        WebSocketPoint(
            at=float(at),
            worker="w1",
            connections=30 if at < 52 else after,
            delivered=10,
            missed=missed if at == 55 else 0,
            duplicated=0,
            reordered=0,
            reconnects=30 if at == reconnects_at else 0,
            delays_s=(),
        )
        for at in range(71)
    )


def drilled(
    table: SampleTable,
    drill: str = "kill-service",
    done: bool = True,
    left: dict[str, Any] | None = LEFT,
    **changes: Any,
) -> Record:
    """A run with a drill whose fault lasts from 52 to 54, followed until 69."""
    plan = a_plan(drills=(drill,))
    seen = changes.pop("seen", {})
    name = drill.partition("=")[0].partition("@")[0]
    told = [
        Event(52.0, Kind.DRILL_BEGIN, {"drill": 1, "name": name, "where": "", "value": ""}),
        Event(54.0, Kind.DRILL_END, {"drill": 1, "name": name, "done": done, "why": "", **seen}),
    ]
    told += [Event(68.9, Kind.DRILL_LEFT, {"drill": 1, **left})] if left is not None else []
    whole = {"websocket": sockets(), "health": healthy(70.0), **changes}
    return a_record(plan, table, events=events(plan, phases={**PHASES, **DRILL}, more=told), **whole)


def graded(record: Record) -> DrillResult:
    [result] = drill_results(facts_of(record))
    return result


WELL = steady(end=69.0)
OUT = joined(without(WELL, 52.0, 56.0), steady(52.0, 56.0, outcome=Outcome.ERROR))


def test_answers_that_are_ok_again_within_the_bound_are_an_a() -> None:
    result = graded(drilled(OUT))
    assert result.grade == "A"
    assert result.end_at == pytest.approx(56.0, abs=0.1)
    assert result.evidence["outage_s"] == pytest.approx(4.0, abs=0.1)
    assert result.evidence["failed"] == 400
    assert "400 requests failed" in result.why


def test_a_fault_that_nobody_felt_is_an_a() -> None:
    result = graded(drilled(WELL))
    assert (result.grade, result.evidence["outage_s"]) == ("A", 0.0)
    assert "no client noticed it" in result.why


def test_later_than_the_bound_is_a_b() -> None:
    late = joined(without(WELL, 52.0, 64.0), steady(52.0, 64.0, outcome=Outcome.ERROR))
    assert graded(drilled(late)).grade == "B"


def test_the_time_of_a_pause_is_no_recovery() -> None:
    waited = joined(without(WELL, 52.0, 57.5), steady(52.0, 53.0, latency=4.5))
    assert graded(drilled(waited, "pause-database=4s")).grade == "A"
    assert graded(drilled(waited, "pause-database=2s")).grade == "B"


@pytest.mark.parametrize("name", ["pause-database", "disconnect-database", "limit-cpu", "fill-disk"])
def test_the_time_that_a_drill_is_kept_up_is_no_part_of_its_bound(name: str) -> None:
    for value in ("1s", "90s"):
        told = graded(drilled(steady(), f"{name}={value}"))
        assert told.evidence["bound_s"] == BOUNDS_S[name] + float(value[:-1])


def test_a_slow_answer_long_after_the_fault_is_not_laid_to_it() -> None:
    hiccup = joined(WELL, steady(64.0, 64.1, latency=1.5))
    assert graded(drilled(hiccup, "terminate-backends")).evidence["slow"] == 0
    assert graded(drilled(joined(WELL, steady(53.0, 53.1, latency=1.5)))).evidence["slow"] == 10


def test_a_queue_that_the_fault_made_is_followed_to_its_end() -> None:
    queue = joined(without(WELL, 52.0, 62.0), steady(52.0, 60.0, latency=3.0))
    result = graded(drilled(queue, "terminate-backends"))
    assert (result.grade, result.evidence["slow"]) == ("B", 800)
    assert result.evidence["outage_s"] == pytest.approx(11.0, abs=0.1)


def test_what_still_waits_at_the_end_is_a_d_and_too_short_a_look_none() -> None:
    stuck = joined(without(WELL, 60.0, 69.0), steady(60.0, 69.0, latency=30.0))
    result = graded(drilled(stuck))
    assert (result.grade, result.evidence["failed"]) == ("D", 0)
    assert "requests still waited" in result.why
    record = drilled(stuck)
    short = graded(replace(record, plan=replace(record.plan, recover_s=7.5)))
    assert short.grade is None
    assert "--recover-time" in short.why


def test_failures_that_go_on_to_the_end_are_a_d() -> None:
    half = joined(
        without(WELL, 52.0, 69.0),
        steady(52.0, 69.0, rate=50.0),
        steady(52.0, 69.0, rate=50.0, outcome=Outcome.ERROR),
    )
    result = graded(drilled(half))
    assert result.grade == "D"
    assert "50% of the requests still failed" in result.why


def test_what_the_next_fault_fails_is_not_laid_to_this_one() -> None:
    later = joined(without(WELL, 68.5, 69.0), steady(68.5, 69.0, latency=2.0, outcome=Outcome.ERROR))
    assert graded(drilled(later)).evidence["failed"] == 0


def test_an_endpoint_that_never_answers_again_is_a_d() -> None:
    gone = joined(
        WELL,
        steady(end=52.0, endpoint="GET /wallets"),
        steady(52.0, 69.0, outcome=Outcome.ERROR, endpoint="GET /wallets"),
    )
    result = graded(drilled(gone))
    assert (result.grade, result.end_at) == ("D", None)
    assert "GET /wallets did not answer ok again" in result.why


def test_an_endpoint_that_never_worked_is_not_laid_to_the_drill() -> None:
    broken = joined(WELL, steady(end=69.0, rate=5.0, outcome=Outcome.ERROR, endpoint="GET /broken"))
    assert graded(drilled(broken)).grade == "A"


def test_what_did_not_come_back_is_a_d() -> None:
    result = graded(drilled(OUT, seen={"back": False, "why": "it was not over after 60 s"}))
    assert (result.grade, result.why) == ("D", "it was not over after 60 s")


def test_a_drill_that_could_not_be_done_has_no_grade() -> None:
    record = drilled(WELL, "terminate-backends", done=False, seen={"why": "permission denied"})
    assert (graded(record).grade, graded(record).why) == (None, "permission denied")


def test_too_few_answers_after_it_decide_nothing() -> None:
    few = joined(without(OUT, 56.0, 69.0), steady(56.0, 57.0, rate=10.0))
    result = graded(drilled(few))
    assert result.grade is None
    assert "needs 20 ok answers" in result.why


def test_a_write_that_is_lost_around_the_fault_is_a_d() -> None:
    lost: dict[str, Any] = {
        "operations": operations_of(an_operation(OperationKind.CREATE, 1, at=51.0)),
        "final_reads": (FinalRead("ada", 71.0, (), None, (), "w1"),),
    }
    assert "1 acknowledged write was lost" in graded(drilled(WELL, **lost)).why
    early = {**lost, "operations": operations_of(an_operation(OperationKind.CREATE, 1, at=20.0))}
    assert graded(drilled(WELL, **early)).grade == "A"
    kept = {**lost, "final_reads": (FinalRead("ada", 71.0, (found(1),), None, (found(1),), "w1"),)}
    assert graded(drilled(WELL, **kept)).grade == "A"


def test_missed_messages_are_a_d() -> None:
    result = graded(drilled(WELL, "drop-websockets", websocket=sockets(missed=3)))
    assert (result.grade, result.evidence["missed"]) == ("D", 3)


def test_websockets_that_stay_away_are_a_d() -> None:
    result = graded(drilled(WELL, "drop-websockets", websocket=sockets(after=28)))
    assert (result.grade, result.why) == ("D", "2 of 30 WebSockets were not connected again within 17.00 s")


def test_websockets_are_told_with_the_time_they_took() -> None:
    soon = graded(drilled(WELL, "drop-websockets", websocket=sockets(reconnects_at=53)))
    late = graded(drilled(WELL, "drop-websockets", websocket=sockets(reconnects_at=60)))
    other = graded(drilled(WELL, "drop-websockets", websocket=sockets(reconnects_at=69)))
    assert (soon.grade, soon.evidence["reconnects"], soon.evidence["reconnected_s"]) == ("A", 30, 1.0)
    assert (late.grade, late.end_at, late.evidence["reconnected_s"]) == ("B", 60.0, 8.0)
    assert (other.grade, other.evidence["reconnects"]) == ("A", 0)


@pytest.mark.parametrize(
    ("drill", "struck"), [("drop-websockets", "connections"), ("terminate-backends", "backends")]
)
def test_striking_nothing_decides_nothing(drill: str, struck: str) -> None:
    assert graded(drilled(WELL, drill, seen={struck: 0})).grade is None
    assert graded(drilled(WELL, drill, seen={struck: 3})).grade == "A"


def test_what_has_to_be_ended_by_hand_is_a_c() -> None:
    result = graded(drilled(WELL, left={**LEFT, "long_transactions": 2}))
    assert result.grade == "C"
    assert "left: 2 sessions with an old transaction" in result.why


def test_what_was_left_must_be_known_where_there_is_a_database() -> None:
    assert graded(drilled(WELL, left={"unread": "nobody listens there"})).grade is None
    assert graded(drilled(WELL, left=None)).grade == "A"


def test_logins_of_the_time_after_it_are_counted() -> None:
    known = tuple(replace(point, logins=1 if point.at >= 50 else 7) for point in healthy(70.0))
    assert graded(drilled(WELL, health=known)).evidence["logins"] == 17
    assert graded(drilled(WELL)).evidence["logins"] is None


def test_of_two_drills_each_has_its_own_errors() -> None:
    plan = a_plan(drills=("kill-service", "terminate-backends"))
    told = [
        Event(at, kind, {"drill": number, "name": "", "done": True})
        for number, begin in ((1, 52.0), (2, 60.0))
        for at, kind in ((begin, Kind.DRILL_BEGIN), (begin + 0.5, Kind.DRILL_END))
    ]
    table = joined(without(WELL, 60.0, 61.0), steady(60.0, 61.0, outcome=Outcome.ERROR))
    record = a_record(plan, table, events=events(plan, phases={**PHASES, **DRILL}, more=told))
    first, second = drill_results(facts_of(record))
    assert (first.evidence["failed"], second.evidence["failed"]) == (0, 100)


@pytest.mark.parametrize(
    ("table", "status"),
    [(OUT, "pass"), (without(OUT, 56.0, 69.0), "fail"), (without(WELL, 52.0, 69.0), "inconclusive")],
    ids=["back", "silent", "not asked"],
)
def test_the_gate_follows_the_grade(table: SampleTable, status: str) -> None:
    gate = next(gate for gate in judge(drilled(table)).gates if gate.name == "drills")
    assert gate.status == status
