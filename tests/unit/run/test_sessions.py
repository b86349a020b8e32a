"""Which of the migration's sessions no tracer tells of."""

from __future__ import annotations

from typing import Any

from harness.run.sessions import Sessions

HELLO = {"kind": "hello"}
CONN = {"kind": "conn", "backend": 5}


def sessions(seen: dict[int, str], *records: dict[str, Any]) -> Sessions:
    found = Sessions(lambda: seen)
    for record in records:
        found.take(record)
    return found


def test_a_session_that_a_tracer_told_of_is_no_stranger() -> None:
    found = sessions({5: "name", 6: "port"}, HELLO, CONN)
    assert (found.strangers, found.sure, found.announced) == ({6}, {5, 6}, True)


def test_what_only_time_tells_is_a_stranger_where_no_tracer_said_hello_and_never_sure() -> None:
    assert (sessions({6: "time"}).strangers, sessions({6: "time"}).sure) == ({6}, set())
    assert sessions({6: "time"}, HELLO).strangers == set()


def test_a_tracer_that_said_hello_has_a_second_to_tell() -> None:
    seen = {5: "name"}
    found = sessions(seen, HELLO)
    assert [found.untraced(at) for at in (1.0, 1.9, 2.0)] == [False, False, True]
    found.take(CONN)
    assert not found.untraced(2.1)
    seen[6] = "port"
    assert [found.untraced(at) for at in (3.0, 3.9, 4.0)] == [False, False, True]  # counted anew


def test_without_a_hello_none_will_tell() -> None:
    assert sessions({5: "name"}).untraced(1.0)
    assert not sessions({}).untraced(1.0)


def test_statements_count_by_revision_where_alembic_runs() -> None:
    begin = {"kind": "begin", "step": None}
    alembic = {"kind": "hooked", "library": "alembic"}
    assert sessions({}, begin).ran_statements
    assert not sessions({}, alembic, begin).ran_statements
    assert sessions({}, alembic, begin, {**begin, "step": "migration"}).ran_statements


def test_why_it_may_not_go_on_names_the_flag() -> None:
    assert "session 6, 7 of its" in sessions({7: "port", 6: "port"}).why_untraced()
    assert "any session of its" in sessions({}).why_untraced()
    assert "--allow-untraced-database" in sessions({}).why_untraced()
