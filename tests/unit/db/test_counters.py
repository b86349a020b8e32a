"""PostgreSQL's counters, from when the observer began."""

from __future__ import annotations

from harness.core.observation import DatabasePoint
from harness.db.counters import Counters


def test_they_count_from_the_start_less_its_own_and_survive_a_crash() -> None:
    counters = Counters()

    def counted(commits: int, own: int) -> dict[str, int]:
        return counters.count(DatabasePoint(1.0, commits=commits), own)

    assert counted(1000, 4) == {"commits": 0}
    assert counted(1120, 20) == {"commits": 100}
    assert counted(50, 10) == {"commits": 140}  # the statistics began anew
