"""What a drill may touch, and its two events."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.drills import Drill
from harness.core.events import Kind
from harness.errors import GuardError, UsageError
from harness.run.drills import Noted, check_drills
from tests.fix_record import a_plan

OWN = {
    "host": "http://127.0.0.1:8000",
    "database_url": "postgresql://127.0.0.1/shop",
    "alembic_config": "alembic.ini",
}


def test_what_the_harness_started_may_be_broken() -> None:
    check_drills(a_plan(drills=("kill-migrator@each",)))


def test_what_it_did_not_start_must_be_allowed_by_the_drills_name() -> None:
    plan = {**OWN, "drills": ("kill-migrator@statement=2",)}
    with pytest.raises(GuardError, match="--allow-drill kill-migrator") as refused:
        check_drills(a_plan(**plan))
    assert refused.value.exit_code == 3
    with pytest.raises(GuardError):
        check_drills(a_plan(**plan, allow_drill=("race-migrators",)))
    check_drills(a_plan(**plan, allow_drill=("kill-migrator",)))


@pytest.mark.parametrize(
    ("drill", "said"), [("kill-migrator", "@statement=N"), ("kill-migrator@each", "--recreate-database")]
)
def test_copies_of_a_database_need_to_be_made_from_something(drill: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_drills(a_plan(**OWN, drills=(drill,), allow_drill=("kill-migrator",)))
    assert said in refused.value.remedy


def test_a_database_that_is_made_anew_can_be_walked() -> None:
    made = {"recreate_database": True, "prepare": "make it"}
    check_drills(a_plan(**OWN, **made, drills=("kill-migrator@each",), allow_drill=("kill-migrator",)))


def test_its_end_is_written_once() -> None:
    written: list[tuple[str, dict[str, Any]]] = []

    def note(kind: str, at: float | None = None, **data: Any) -> float:
        written.append((kind, data))
        return 12.0

    noted = Noted(2, Drill("kill-migrator", "statement", "3"), note)
    assert noted.begin(point="before") == 12.0
    noted.end(done=True, gone_s=0.1)
    noted.end(done=False, why="the run ended")
    assert [kind for kind, _ in written] == [Kind.DRILL_BEGIN, Kind.DRILL_END]
    assert written[0][1] == {
        "drill": 2,
        "name": "kill-migrator",
        "where": "statement",
        "value": "3",
        "point": "before",
    }
    assert written[1][1]["done"] is True


@pytest.mark.parametrize(
    "drill",
    [
        *("restart-database", "pause-database=2s", "kill-service", "kill-cache", "expire-tokens"),
        "old-code-new-schema",
    ],
)
def test_what_is_not_ours_to_break_is_refused_with_its_reason_whatever_is_allowed(drill: str) -> None:
    name = drill.partition("=")[0]
    check_drills(a_plan(drills=(drill,), cache="auto"))
    with pytest.raises(UsageError, match=r"the harness (did not start|does not know|cannot start)"):
        check_drills(a_plan(**OWN, drills=(drill,), allow_drill=(name,)))


@pytest.mark.parametrize("drill", ["terminate-backends", "terminate-backends@migrate", "hold-reader=5s"])
def test_sessions_of_your_own_database_need_your_word(drill: str) -> None:
    with pytest.raises(GuardError, match="may break what the harness did not start"):
        check_drills(a_plan(**OWN, drills=(drill,)))
    check_drills(a_plan(**OWN, drills=(drill,), allow_drill=(drill.partition("@")[0].partition("=")[0],)))


def test_a_cache_is_killed_where_there_is_one() -> None:
    with pytest.raises(UsageError, match="the reference service has no cache without --cache"):
        check_drills(a_plan(drills=("kill-cache",)))


CONTAINER = ["disconnect-database=1s", "limit-cpu@migrate=3s", "fill-disk"]


@pytest.mark.parametrize("drill", CONTAINER)
def test_what_is_done_to_a_container_needs_one(drill: str) -> None:
    with pytest.raises(UsageError, match=r"there is none\. Add --services docker") as refused:
        check_drills(a_plan(drills=(drill,)))
    assert refused.value.exit_code == 2
    check_drills(a_plan(drills=(drill,), services="docker"))
    with pytest.raises(UsageError, match="did not start that PostgreSQL in a container"):
        check_drills(a_plan(**OWN, drills=(drill,), allow_drill=(drill.partition("=")[0],)))


def test_your_own_connections_may_be_dropped() -> None:
    check_drills(a_plan(**OWN, drills=("drop-websockets",)))


@pytest.mark.parametrize(
    ("drill", "changes", "why"),
    [
        ("drop-websockets", {"websocket": False}, "no WebSocket"),
        ("expire-tokens", {"authentication": False}, "log in nowhere"),
        ("expire-tokens", {"downgrade": "v1"}, "the rollback lost"),
        ("old-code-new-schema", {"downgrade": "v1"}, "takes the new schema away"),
        ("terminate-backends", {**OWN, "database_url": None, "placebo": True}, "no database"),
    ],
)
def test_a_drill_on_what_the_run_does_not_have_is_refused(
    drill: str, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        check_drills(a_plan(**changes, drills=(drill,), allow_drill=(drill,)))
