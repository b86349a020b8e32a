"""The placebo's episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.events import Kind
from harness.run.episode import PlaceboEpisode
from tests.fix_controller import FakeClock
from tests.fix_episode import Notes


def test_a_placebo_marks_a_window_of_ten_seconds(clock: FakeClock, notes: Notes) -> None:
    placebo = PlaceboEpisode(notes)
    clock.sleep(5.0)
    placebo.begin()
    data: Mapping[str, Any] = notes.of(Kind.MIGRATION_BEGIN)[0]
    assert data["placebo"] is True
    assert (placebo.first_statement_at, placebo.impact_until) == (5.0, 15.0)
