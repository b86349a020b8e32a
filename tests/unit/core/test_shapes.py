"""Which names a record was shown with, and lacks: folded as the answers come."""

from __future__ import annotations

import uuid
from typing import Any

from harness.core.shapes import NAMES, Shapes

ONE, LIST = "GET /documents/{id}", "GET /documents"
OLD, NEW = {"id": 1, "title": "t"}, {"id": 1, "title": "t", "share_id": "s"}
KEY, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


class Watch:
    """Shapes that are told of answers, each of which took 10 ms."""

    def __init__(self) -> None:
        self.shapes = Shapes()

    def saw(self, at: float, names: dict[str, Any], endpoint: str = ONE, key: uuid.UUID = KEY) -> None:
        self.shapes.saw(endpoint, key, names.keys(), at - 0.01, at)

    def lines(self, now: float = 100.0) -> list[tuple[float, dict[str, Any]]]:
        """Those about names."""
        return [(at, line) for at, line in self.shapes.take(now) if "name" in line]


def counts(watch: Watch) -> dict[str, int]:
    """What was counted of `share_id` by the endpoint of one record."""
    told: dict[str, int] = {}
    for _, line in watch.lines():
        if line["endpoint"] == ONE:
            for kind in ("shown", "renewed", "fresh", "taken_back", "other"):
                told[kind] = told.get(kind, 0) + line.get(kind, 0)
    return {kind: count for kind, count in told.items() if count}


def test_a_shape_that_does_not_change_leaves_a_line_for_its_endpoint_alone() -> None:
    watch = Watch()
    for second in range(50):
        watch.saw(second, OLD)
        watch.saw(second, {"id": 1})
    assert watch.shapes.take(60.0) == [(0, {"endpoint": ONE})]
    assert watch.shapes.take(61.0) == []


def test_a_record_that_was_shown_with_a_name_and_then_without_it_is_taken_back() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(10.0, NEW)
    watch.saw(20.2, OLD)
    watch.saw(20.4, OLD)
    assert watch.lines() == [
        (10.0, {"endpoint": ONE, "name": "share_id", "shown": 1}),
        (20.0, {"endpoint": ONE, "name": "share_id", "taken_back": 2, "example": str(KEY)}),
    ]


def test_that_it_was_shown_by_another_endpoint_will_do() -> None:
    watch = Watch()
    watch.saw(1.0, OLD, LIST)
    watch.saw(1.1, OLD)
    watch.saw(10.0, NEW, LIST)  # of the record in question
    watch.saw(10.1, NEW, key=OTHER)  # by the endpoint in question
    watch.saw(20.0, OLD)
    assert counts(watch) == {"shown": 1, "taken_back": 1}


def test_a_name_that_only_the_other_endpoint_shows_is_not_missed() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(1.0, OLD, LIST)
    watch.saw(10.0, NEW, LIST)
    watch.saw(20.0, OLD)
    assert counts(watch) == {}


def test_a_record_that_was_never_shown_with_the_name_is_told_apart() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(10.0, NEW, key=OTHER)
    watch.saw(20.0, OLD)
    assert counts(watch) == {"shown": 1, "other": 1}


def test_a_record_that_was_written_since_and_lacks_the_name_is_fresh() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(10.0, NEW)
    watch.shapes.wrote(KEY, 15.0, certain=True)
    watch.saw(20.0, OLD)
    watch.saw(21.0, NEW)
    assert counts(watch) == {"shown": 1, "fresh": 1, "renewed": 1}


def test_a_write_from_before_the_name_was_seen_does_not_count() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.shapes.wrote(KEY, 5.0, certain=True)
    watch.saw(10.0, NEW)
    watch.saw(20.0, OLD)
    assert counts(watch) == {"shown": 1, "taken_back": 1}


def test_after_a_write_that_may_come_at_any_time_nothing_is_said_of_the_record_but_what_it_has() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(10.0, NEW)
    watch.shapes.wrote(KEY, 15.0, certain=False)
    watch.saw(20.0, OLD)
    watch.saw(21.0, NEW)
    assert counts(watch) == {"shown": 2}


def test_a_write_that_ended_while_the_answer_was_under_way_says_nothing() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(10.0, NEW)
    watch.shapes.wrote(KEY, 19.995, certain=True)
    watch.saw(20.0, OLD)
    assert counts(watch) == {"shown": 1}


def test_a_second_is_told_when_it_is_over() -> None:
    watch = Watch()
    watch.saw(1.0, OLD)
    watch.saw(10.0, NEW)
    assert watch.lines(10.9) == []
    assert [at for at, _ in watch.lines(11.0)] == [10.0]
    assert watch.lines(12.0) == []


def test_the_names_of_a_map_do_not_pile_up() -> None:
    watch = Watch()
    watch.saw(0.0, {"id": 1})
    for number in range(1_000):
        watch.saw(1.0, {f"{number}" * 60: 1})
    names = {line["name"] for _, line in watch.lines()}
    assert len(names) <= NAMES
    assert max(map(len, names)) <= 100
