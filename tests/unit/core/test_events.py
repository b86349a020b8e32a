"""Events are lines of JSON."""

from __future__ import annotations

from harness.core.events import PHASES, Event, Kind


def test_an_event_comes_back_as_written() -> None:
    event = Event(1.25, Kind.STOP, {"cause": "SIGINT"})
    assert Event.from_json(event.as_json()) == event


def test_an_instant_is_kept_to_a_microsecond() -> None:
    assert Event(1.23456789, Kind.PHASE, {"name": "warmup"}).as_json() == {
        "at": 1.234568,
        "event": "phase",
        "name": "warmup",
    }


def test_an_event_without_data_is_one() -> None:
    assert Event.from_json({"at": 0, "event": "run_end"}) == Event(0.0, "run_end")


def test_kinds_and_phases_have_distinct_names() -> None:
    kinds = [value for name, value in vars(Kind).items() if not name.startswith("_")]
    assert len(kinds) == len(set(kinds))
    assert len(PHASES) == len(set(PHASES))
