"""A migration's episode is put together from its events and its tracer's records."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.events import Event, Kind
from harness.core.facts import migrations_in
from harness.core.migrations import Migration, migrations_of
from harness.core.observation import BackendSeen
from tests.fix_record import a_plan, events, watched
from tests.fix_several import BILLING, BILLING_PID, SHOP, a_watch, several, several_events
from tests.fix_trace import idle_trace, trace_records

UNREAD = {"unreadable": 1}  # one line of the trace could not be read: it is not complete


def the_upgrade(**changes: Any) -> Migration:
    return migrations_of(events(**changes))[0]


def test_no_events_are_no_migrations() -> None:
    assert migrations_of(()) == ()


def test_instants_are_in_run_time() -> None:
    found = the_upgrade()
    assert (found.begin_at, found.first_statement_at, found.last_commit_at, found.end_at) == (
        25.0,
        27.0,
        28.0,
        28.1,
    )
    assert found.duration_s == pytest.approx(1.0)
    assert found.process_s == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"end": UNREAD}, 25.0),  # unknown: from the start of its process
        ({"trace": []}, 25.0),
        ({"trace": idle_trace()}, 25.0),  # it did something, nobody saw what
        ({"trace": idle_trace(), "end": {"status": "failed"}}, None),  # it failed before its first statement
        ({"trace": [], "end": {"status": "failed"}}, 25.0),
        ({"trace": [], "end": {"status": "nothing"}}, None),
        ({"trace": [], "end": {"status": "wrong_database"}}, None),
        ({"end": {"status": None}}, 27.0),  # its end is not recorded
    ],
)
def test_the_first_statement(changes: dict[str, Any], first: float | None) -> None:
    assert the_upgrade(**changes).first_statement_at == first


def test_an_untraced_migration_has_no_commit_and_no_duration() -> None:
    found = the_upgrade(end=UNREAD)
    assert (found.last_commit_at, found.duration_s) == (None, None)


def test_without_its_end_much_is_unknown() -> None:
    found = the_upgrade(end={"status": None})
    assert (found.status, found.end_at, found.process_s, found.reached, found.revisions_after) == (None,) * 5


def test_a_placebo_begins_where_it_is_marked() -> None:
    (found,) = migrations_of(events(a_plan(placebo=True)))
    assert (found.placebo, found.first_statement_at, found.status) == (True, 27.0, None)


def test_a_rollback_is_the_second_migration() -> None:
    upgrade, rollback = migrations_of(events(a_plan(downgrade="0001")))
    assert (upgrade.phase, rollback.phase) == ("migrate", "rollback")
    assert rollback.first_statement_at == 54.0


def test_the_last_end_of_an_episode_counts() -> None:
    early = Event(26.0, Kind.MIGRATION_END, {"episode": 1, "status": "failed", "sqlstate": "55P03"})
    log = tuple(sorted((*events(), early), key=lambda event: event.at))
    assert migrations_of(log)[0].status == "ok"


def test_records_of_another_episode_are_not_mixed_in() -> None:
    other = [
        Event(70.0, Kind.TRACE, {"episode": 2, "record": record}) for record in trace_records(70.0, 71.0)
    ]
    (found,) = migrations_of((*events(), *other))
    assert len(found.trace.migration_statements) == 1


def test_lines_that_could_not_be_read_make_a_trace_incomplete() -> None:
    found = the_upgrade(end=UNREAD)
    assert (found.traced, found.why_untraced) == (False, "1 lines of the trace are unreadable")


@pytest.mark.parametrize(
    ("status", "committed"), [("ok", 28.0), ("failed", None), ("deadline", None), ("stopped", None)]
)
def test_a_commit_ends_the_episode_of_a_migration_that_ended_ok(status: str, committed: float | None) -> None:
    found = the_upgrade(end={"status": status})
    assert (found.last_commit_at, found.episode.last_commit_at) == (28.0, committed)


def test_a_migration_that_failed_after_a_commit_is_judged_to_its_end() -> None:
    failed = Event(45.0, Kind.MIGRATION_END, {"episode": 1, "status": "failed"})
    log = (*(event for event in events() if event.kind != Kind.MIGRATION_END), failed)
    window = migrations_of(log)[0].episode.impact_window
    assert window is not None
    assert (window.start, window.end) == (27.0, 47.0)


def test_what_it_said_is_kept_without_paths_and_credentials() -> None:
    found = the_upgrade(end={"message": "/srv/shop/env.py: postgresql://app:s3cr3t@db/shop"})
    assert found.message == "…/env.py: postgresql://app:***@db/shop"


def test_a_session_that_did_not_announce_itself_makes_the_trace_incomplete() -> None:
    (found,) = migrations_of(events(), seen_backends=[500, 501])
    assert not found.traced
    assert "501" in found.why_untraced
    assert found.backends == {500, 501}


def test_the_sessions_of_one_episode_are_no_strangers_to_the_other() -> None:
    found = migrations_of(events(a_plan(downgrade="0001")), seen_backends=[500])
    assert [migration.traced for migration in found] == [True, True]


def test_a_session_that_was_found_belongs_to_the_episode_that_ran_then() -> None:
    seen = [BackendSeen(53.0, 900, "time")]
    up, down = migrations_of(events(a_plan(downgrade="0001")), [500, 900], found=seen)
    assert (up.traced, 900 in up.backends, up.guessed) == (True, False, frozenset())
    assert (down.traced, 900 in down.backends, down.guessed) == (False, True, frozenset({900}))


def test_rules_to_ignore_come_with_the_migration() -> None:
    begin = Event(25.0, Kind.MIGRATION_BEGIN, {"episode": 1, "direction": "upgrade", "ignored": {"r": "why"}})
    assert migrations_of((begin,))[0].ignored == {"r": "why"}


def test_each_of_several_has_its_name_and_is_found_on_its_own_database() -> None:
    log = several_events(rollback=True)
    told = [(m.number, m.name, m.phase) for m in migrations_of(log)]
    assert told == [(1, SHOP, "migrate"), (4, SHOP, "rollback")]
    others = migrations_of(log, database=BILLING)
    assert [(m.number, m.name, m.database) for m in others] == [(2, BILLING, BILLING), (3, BILLING, BILLING)]
    assert others[0].backends == {BILLING_PID}


def test_a_stranger_on_another_database_is_nothing_to_a_migration() -> None:
    shop, billing = migrations_in(several(elsewhere={BILLING: a_watch(observed=watched(backends=(9,)))}))
    assert (shop.traced, billing.traced) == (True, False)
