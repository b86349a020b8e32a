"""Phases, impact windows and slices are cut from events."""

from __future__ import annotations

from itertools import pairwise

import pytest

from harness.core.events import Event, Kind
from harness.core.timeline import Episode, Timeline, Window, cut, slices


def phases(**starts: float) -> list[Event]:
    return [Event(at, Kind.PHASE, {"name": name}) for name, at in starts.items()]


def test_a_phase_lasts_until_the_next_and_the_last_until_the_last_event() -> None:
    timeline = cut([*phases(warmup=0.0, baseline=5.0), Event(30.0, Kind.RUN_END)])
    assert timeline.phases == (Window("warmup", 0.0, 5.0), Window("baseline", 5.0, 30.0))
    assert timeline.end_at == 30.0


def test_no_events_are_an_empty_timeline() -> None:
    assert cut([]) == Timeline((), (), 0.0)


def test_a_phase_begins_at_its_start_and_ends_before_its_end() -> None:
    timeline = cut([*phases(warmup=0.0, baseline=5.0), Event(30.0, Kind.RUN_END)])
    assert timeline.phase_at(4.999) == "warmup"
    assert timeline.phase_at(5.0) == "baseline"
    assert timeline.phase_at(30.0) is None


@pytest.mark.parametrize(
    ("first", "commit", "end", "until"),
    [
        (10.0, 11.0, 12.0, 20.0),  # at least ten seconds
        (10.0, 30.0, 31.0, 32.0),  # two after the last commit
        (10.0, None, 25.0, 27.0),  # nothing committed: two after the process
        (10.0, None, None, 20.0),  # it never ended
    ],
)
def test_the_impact_window(first: float, commit: float | None, end: float | None, until: float) -> None:
    episode = Episode(1, "upgrade", 9.0, first, commit, end)
    assert episode.impact_window == Window("migrate", first, until)


def test_without_a_statement_there_is_no_impact() -> None:
    assert Episode(1, "upgrade", 9.0, None, None, 12.0).impact_window is None


def test_the_statement_window_ends_with_the_last_commit() -> None:
    assert Episode(1, "downgrade", 9.0, 10.0, 12.0).statement_window == Window(
        "rollback statements", 10.0, 12.0
    )
    assert Episode(1, "downgrade", 9.0, 10.0).statement_window is None


def test_phase_migrate_means_the_impact_window() -> None:
    events = [*phases(migrate=10.0, recover=12.0, drain=40.0), Event(41.0, Kind.RUN_END)]
    timeline = cut(events, [Episode(1, "upgrade", 9.0, 10.0, 11.0)])
    assert timeline.window("migrate") == Window("migrate", 10.0, 20.0)
    assert timeline.window("recover") == Window("recover", 12.0, 40.0)
    assert timeline.window("rollback") is None


def test_an_impact_window_ends_with_the_load() -> None:
    events = [*phases(migrate=10.0, drain=13.0, final_read=14.0), Event(20.0, Kind.RUN_END)]
    timeline = cut(events, [Episode(1, "upgrade", 9.0, 10.0, 11.0)])
    assert timeline.load_end == 13.0
    assert timeline.window("migrate") == Window("migrate", 10.0, 13.0)


def test_a_first_statement_after_the_load_has_no_window() -> None:
    timeline = cut(phases(launch=8.0, drain=9.0), [Episode(1, "upgrade", 8.0, 9.5, 9.6)])
    assert timeline.window("migrate") is None


@pytest.mark.parametrize(
    ("length", "edges"),
    [(10.0, [0, 5, 10]), (12.0, [0, 5, 12]), (13.0, [0, 5, 10, 13]), (2.0, [0, 2]), (0.0, [])],
)
def test_slices(length: float, edges: list[float]) -> None:
    expected = tuple(Window("w", a, b) for a, b in pairwise(edges))
    assert slices(Window("w", 0.0, length)) == expected


ONE_AFTER_THE_OTHER = [Episode(1, "upgrade", 9.0, 10.0, 11.0, 11.1), Episode(2, "upgrade", 11.2, 13.0, 30.0)]


@pytest.mark.parametrize(
    ("episodes", "until"),
    [
        (ONE_AFTER_THE_OTHER, 32.0),  # two seconds after the last commit of the last
        ([ONE_AFTER_THE_OTHER[0], Episode(2, "upgrade", 11.2, 13.0, 14.0)], 20.0),  # ten after the first
        (
            [ONE_AFTER_THE_OTHER[0], Episode(2, "upgrade", 11.2, None, None, 25.0)],
            20.0,
        ),  # it ran no statement
        ([ONE_AFTER_THE_OTHER[0], Episode(2, "upgrade", 11.2, 13.0, None, 25.0)], 27.0),  # it failed
    ],
)
def test_the_impact_window_covers_all_migrations_of_a_phase(episodes: list[Episode], until: float) -> None:
    timeline = cut([*phases(migrate=10.0, drain=40.0), Event(41.0, Kind.RUN_END)], episodes)
    assert timeline.window("migrate") == Window("migrate", 10.0, until)


def test_the_impact_begins_with_the_first_that_ran_a_statement() -> None:
    idle = Episode(1, "upgrade", 8.0, None, None, 9.0)
    timeline = cut([*phases(migrate=13.0), Event(41.0, Kind.RUN_END)], [idle, ONE_AFTER_THE_OTHER[1]])
    assert timeline.window("migrate") == Window("migrate", 13.0, 32.0)


def test_the_load_ends_where_the_walk_of_a_drill_begins() -> None:
    whole = cut([*phases(warmup=0.0, final_read=60.0, drill_walk=62.0), Event(300.0, Kind.RUN_END)])
    assert whole.of_the_load == Timeline(whole.phases[:2], (), 62.0)
    short = cut([*phases(warmup=0.0, final_read=60.0), Event(62.0, Kind.RUN_END)])
    assert short.of_the_load == short
