"""Answers of an old shape are red only where neither the release nor the row explains them.

In `a_record` the only statement runs in [27, 28) and commits at 28; with a rollback that begins at 54.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.judge import judge
from harness.core.record import Record, ShapePoint
from harness.core.stale_cache import GRACE_S, OldShape, old_shapes
from harness.core.verdict import GateResult
from tests.fix_ledger import a_key
from tests.fix_record import a_plan, a_record, events, old_shape

ONE = "GET /documents/{id}"


def gate(record: Record) -> GateResult:
    return next(result for result in judge(record).gates if result.name == "stale_cache")


def test_an_old_shape_is_found_with_its_endpoint_names_answers_and_time() -> None:
    record = a_record(shapes=(*old_shape(), ShapePoint(44.0, ONE, "share_id", taken_back=4)))
    (found,) = old_shapes(facts_of(record))
    assert found == OldShape(ONE, ("share_id",), 7, 0, 12.0, 17.0, a_key("old"))
    red = gate(record)
    assert (red.status, red.observed) == ("fail", 7.0)
    assert (
        "GET /documents/{id} answered 7 times without share_id, 12 to 17 s after the last commit" in red.why
    )


def test_an_answer_that_lacks_two_names_is_one_answer() -> None:
    record = a_record(shapes=(*old_shape("share_id"), *old_shape("category_id")))
    (found,) = old_shapes(facts_of(record))
    assert (found.names, found.answers) == (("category_id", "share_id"), 3)


def test_a_secret_in_a_name_is_masked() -> None:
    (found,) = old_shapes(facts_of(a_record(shapes=old_shape("password=hunter2"))))
    assert "hunter2" not in found.told


def test_endpoints_are_told_apart_the_worst_first() -> None:
    record = a_record(shapes=(*old_shape(), *old_shape(endpoint="GET /notes/{id}", taken_back=9)))
    assert [(one.endpoint, one.answers) for one in old_shapes(facts_of(record))] == [
        ("GET /notes/{id}", 9),
        (ONE, 3),
    ]


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(old_shape(second=28.0 + GRACE_S - 1), id="right after the commit"),
        pytest.param(old_shape(taken_back=0), id="the new shape alone"),
        pytest.param((*old_shape(), ShapePoint(39.0, ONE, "share_id", fresh=1)), id="both releases"),
        pytest.param((*old_shape(), ShapePoint(9.0, ONE, "share_id", shown=1)), id="optional before"),
        pytest.param((ShapePoint(5.0, ONE), ShapePoint(40.0, ONE, "share_id", taken_back=3)), id="not new"),
    ],
)
def test_what_a_cache_need_not_explain_is_not_red(shapes: tuple[ShapePoint, ...]) -> None:
    assert gate(a_record(shapes=shapes)).status == "pass"


def test_with_too_few_new_rows_to_compare_with_an_old_shape_is_told_and_not_red() -> None:
    few = [replace(point, renewed=19) if point.renewed else point for point in old_shape()]
    record = a_record(shapes=tuple(few))
    assert gate(record).status == "pass"
    assert any("answered 3 times without share_id" in limit for limit in judge(record).limits)


def test_records_never_shown_with_the_name_are_told_and_not_red() -> None:
    record = a_record(shapes=old_shape(taken_back=0, other=5))
    assert gate(record).status == "pass"
    assert any("answered 5 times without share_id" in limit for limit in judge(record).limits)
    assert not any("without share_id" in limit for limit in judge(a_record(shapes=old_shape())).limits)


def test_a_rollback_may_take_the_name_away() -> None:
    plan = a_plan(downgrade="0001")
    back = next(e.at for e in events(plan) if e.data.get("direction") == "downgrade")
    assert gate(a_record(plan, shapes=old_shape(second=back + 2.0))).status == "pass"
    assert gate(a_record(plan, shapes=old_shape(second=back - 2.0))).status == "fail"


@pytest.mark.parametrize(("ended_at", "status"), [(36.0, "pass"), (34.0, "fail"), (None, "pass")])
def test_a_deploy_has_time_to_replace_the_old_release(ended_at: float | None, status: str) -> None:
    begin = Event(30.0, Kind.DEPLOY_BEGIN, {"when": "after", "how": "replaces 2 instances"})
    end = [] if ended_at is None else [Event(ended_at, Kind.DEPLOY_END, {"status": "ok"})]
    deployed = sorted((*events(), begin, *end), key=lambda event: event.at)
    assert gate(a_record(events=tuple(deployed), shapes=old_shape())).status == status


@pytest.mark.parametrize(
    "changes", [{"events": events(end={"status": "failed"})}, {"plan": a_plan(placebo=True)}]
)
def test_without_a_migration_there_is_no_new_shape(changes: dict[str, Any]) -> None:
    assert old_shapes(facts_of(a_record(shapes=old_shape(), **changes))) == ()


def test_a_record_that_says_nothing_of_shapes_decides_nothing() -> None:
    undecided = gate(a_record(shapes=()))
    assert (undecided.status, undecided.observed) == ("inconclusive", None)
    assert "nothing is on record" in undecided.why


def test_a_lost_worker_takes_the_pass_away_and_not_the_finding() -> None:
    kept = tuple(event for event in events() if event.kind != Kind.WORKER_FINAL)
    assert gate(a_record(events=kept)).status == "inconclusive"
    assert gate(a_record(events=kept, shapes=old_shape())).status == "fail"


def test_the_verdict_tells_of_them() -> None:
    assert judge(a_record(shapes=old_shape())).as_json()["old_shapes"] == [
        {
            "endpoint": ONE,
            "names": ["share_id"],
            "answers": 3,
            "others": 0,
            "first_s": 12.0,
            "last_s": 13.0,
            "example": a_key("old"),
        }
    ]
