"""The migration episode: watched, retried, stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from harness.core.events import Kind
from harness.errors import SetupError
from tests.fix_controller import FakeChild, FakeClock, Order
from tests.fix_episode import ALEMBIC, BEGIN, CONN, HELLO, REVISION, Notes, an_episode, walk

NO_LOCK = {"kind": "end", "sqlstate": "55P03", "mono": 102.0}


def test_it_ends_ok_and_keeps_every_record_of_the_tracer(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[REVISION], [BEGIN]], 0)])
    walk(episode, clock)
    assert episode.status == "ok"
    assert [data["record"]["kind"] for data in notes.of(Kind.TRACE)] == ["rev_begin", "begin"]
    assert notes.of(Kind.MIGRATION_END)[0]["reached"] is True


def test_its_impact_starts_at_the_first_statement_of_a_revision(clock: FakeClock, notes: Notes) -> None:
    probe = {"kind": "begin", "step": None, "sql": "select version()", "mono": 100.5}
    episode = an_episode(clock, notes, [FakeChild([[probe], [REVISION, BEGIN]], 0)])
    walk(episode, clock)
    assert episode.first_statement_at == pytest.approx(1.5)
    assert episode.impact_until == pytest.approx(clock.now - 100.0 + 2.0)


def test_one_of_several_is_told_by_its_name_and_database(clock: FakeClock, notes: Notes) -> None:
    names = {"name": "billing", "database": "billing"}
    episode = an_episode(clock, notes, [FakeChild([[REVISION, BEGIN], []], 0)], known_as=names)
    episode.begin()
    clock.sleep(0.05)
    episode.step()
    assert episode.doing.startswith("billing: ")
    (begin,) = notes.of(Kind.MIGRATION_BEGIN)
    assert (begin["name"], begin["database"]) == ("billing", "billing")


@pytest.mark.parametrize("what", ["resolve", "relfilenodes", "read_schema", "revisions"])
def test_one_that_could_not_start_has_begun_and_says_why(clock: FakeClock, notes: Notes, what: str) -> None:
    def full(*_: object) -> Any:
        raise SetupError("sorry, too many clients already")

    asked = {what: full} if what != "read_schema" else {what: lambda when: when == "after" or full()}
    episode = an_episode(clock, notes, [FakeChild([], 0)], target=None, **asked)
    episode.begin()
    (begin,), (end,) = notes.of(Kind.MIGRATION_BEGIN), notes.of(Kind.MIGRATION_END)
    assert (begin["attempt"], begin["revisions_before"]) == (1, None)
    assert (end["status"], end["message"], end["reached"]) == (
        "failed",
        "sorry, too many clients already",
        None,
    )
    assert episode.ended


def test_it_says_what_it_is_doing(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[REVISION, BEGIN], []], 0)])
    episode.begin()
    assert episode.doing == "upgrade head: starting"
    episode.step()
    assert episode.doing == "r1 #1: ALTER TABLE t ADD c int"


def test_one_that_never_came_to_its_own_database_did_not_get_there(clock: FakeClock, notes: Notes) -> None:
    """The version table that it wrote, of another database that it may go to, is at the target."""
    asked: list[str] = []

    def went(records: Sequence[Mapping[str, Any]]) -> str:
        asked.extend(record["kind"] for record in records)
        return "went to archive alone"

    episode = an_episode(clock, notes, [FakeChild([[REVISION, BEGIN]], 0)], elsewhere=went)
    walk(episode, clock)
    end = notes.of(Kind.MIGRATION_END)[0]
    assert (end["status"], end["reached"]) == ("ok", False)
    assert end["message"] == "It ended ok, but it went to archive alone."
    assert asked == ["rev_begin", "begin"]


def test_a_failure_is_said_with_its_sqlstate(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[{**NO_LOCK, "sqlstate": "42P01"}]], 1)], at=["r0"])
    walk(episode, clock)
    end = notes.of(Kind.MIGRATION_END)[0]
    assert (episode.status, end["sqlstate"], end["reached"]) == ("failed", "42P01", False)


def test_want_of_a_lock_is_retried_after_a_pause(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[NO_LOCK]], 1), FakeChild([[BEGIN]], 0)], retries=1)
    walk(episode, clock)
    assert episode.status == "ok"
    assert [data["attempt"] for data in notes.of(Kind.MIGRATION_BEGIN)] == [1, 2]
    assert clock.now - 100.0 >= 0.75


def test_no_more_retries_than_allowed(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[NO_LOCK]], 1), FakeChild([[NO_LOCK]], 1)], retries=1)
    walk(episode, clock)
    assert episode.status == "failed"


def test_another_failure_is_not_retried(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[{**NO_LOCK, "sqlstate": "42P01"}]], 1)], retries=5)
    walk(episode, clock)
    assert episode.status == "failed"


def test_the_deadline_stops_it(clock: FakeClock, notes: Notes) -> None:
    child = FakeChild([[] for _ in range(1000)], None)
    episode = an_episode(clock, notes, [child], deadline_s=3.0)
    walk(episode, clock)
    assert (episode.status, child.stopped) == ("deadline", 1)
    assert clock.now - 100.0 == pytest.approx(3.0, abs=0.2)


def test_abort_stops_a_running_one_once(clock: FakeClock, notes: Notes) -> None:
    child = FakeChild([[], []], None)
    episode = an_episode(clock, notes, [child])
    episode.begin()
    episode.abort()
    episode.abort()
    assert (episode.status, child.stopped, len(notes.of(Kind.MIGRATION_END))) == ("stopped", 1, 1)


def test_another_database_than_the_guarded_one_has_a_status_of_its_own(
    clock: FakeClock, notes: Notes
) -> None:
    episode = an_episode(clock, notes, [FakeChild([[{"kind": "wrong_database", "mono": 101.0}]], 3)])
    walk(episode, clock)
    assert episode.status == "wrong_database"


def test_an_exit_code_of_three_alone_is_a_failure(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[BEGIN]], 3)])
    walk(episode, clock)
    assert episode.status == "failed"


def test_a_lock_it_did_without_is_no_reason_to_retry(clock: FakeClock, notes: Notes) -> None:
    survived: list[Mapping[str, Any]] = [NO_LOCK, {**NO_LOCK, "sqlstate": None}]
    episode = an_episode(clock, notes, [FakeChild([survived], 1)], retries=5)
    walk(episode, clock)
    assert (episode.status, notes.of(Kind.MIGRATION_END)[0]["sqlstate"]) == ("failed", None)


def test_the_backends_of_a_killed_process_are_ended(clock: FakeClock, notes: Notes) -> None:
    ended: list[int] = []
    episode = an_episode(clock, notes, [FakeChild([[BEGIN]], -9)])
    episode._terminate = ended.extend
    walk(episode, clock)
    assert (episode.status, ended) == ("failed", [4711])


def test_a_version_table_that_is_not_there_leaves_the_target_unknown(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[BEGIN]], 0)], at=[])
    walk(episode, clock)
    assert notes.of(Kind.MIGRATION_END)[0]["reached"] is None


def test_a_database_without_a_connection_to_spare_fails_the_retry(clock: FakeClock, notes: Notes) -> None:
    answers: list[list[str] | None] = [["r0"], None, None]

    def revisions() -> list[str]:
        answer = answers.pop(0)
        if answer is None:
            raise SetupError("Too many clients already.")
        return answer

    episode = an_episode(clock, notes, [FakeChild([[NO_LOCK]], 1), FakeChild([[BEGIN]], 0)], retries=1)
    episode._revisions = revisions
    walk(episode, clock)
    assert "Too many clients" in notes.of(Kind.MIGRATION_END)[0]["message"]


def test_an_unknown_revision_afterwards_is_neither_reached_nor_not(clock: FakeClock, notes: Notes) -> None:
    answers: list[list[str] | None] = [["r0"], None]

    def revisions() -> list[str]:
        answer = answers.pop(0)
        if answer is None:
            raise SetupError("The database does not answer.")
        return answer

    episode = an_episode(clock, notes, [FakeChild([[BEGIN]], 0)])
    episode._revisions = revisions
    walk(episode, clock)
    end = notes.of(Kind.MIGRATION_END)[0]
    assert (end["revisions_after"], end["reached"]) == (None, None)


def test_a_database_that_does_not_answer_at_the_start_fails_it(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [])

    def silent() -> list[str]:
        raise SetupError("The database does not answer.")

    episode._resolve = silent
    episode._revisions = silent
    episode.begin()
    assert (episode.ended, episode.status) == (True, "failed")
    assert "does not answer" in notes.of(Kind.MIGRATION_END)[0]["message"]


def test_the_schema_is_read_before_the_first_attempt_and_after_the_last(
    clock: FakeClock, notes: Notes
) -> None:
    episode = an_episode(clock, notes, [FakeChild([[NO_LOCK]], 1), FakeChild([[BEGIN]], 0)], retries=1)
    walk(episode, clock)
    read = [data.get("when", kind) for kind, _, data in notes.events if kind.startswith(("schema", "migr"))]
    assert read == ["before", *["migration_begin"] * 2, "migration_end", "after"]


def test_the_observer_is_told_when_it_runs_and_what_its_backends_are(clock: FakeClock, notes: Notes) -> None:
    walk(an_episode(clock, notes, [FakeChild([[NO_LOCK]], 1), FakeChild([[BEGIN]], 0)], retries=1), clock)
    told = [(data["running"], data["pids"]) for data in notes.of("observe")]
    attempt = [(True, ()), (True, (4711,)), (False, ())]
    assert list(dict.fromkeys(told)) == attempt
    assert [running for running, _ in told].count(False) == 2
    assert told[-1] == (False, ())


def test_every_record_is_kept_for_what_is_said_of_the_statements(clock: FakeClock, notes: Notes) -> None:
    episode = an_episode(clock, notes, [FakeChild([[REVISION], [BEGIN]], 0)])
    walk(episode, clock)
    assert episode.records == [REVISION, BEGIN]


def test_what_its_files_ignore_is_read_once_and_told_with_every_attempt(
    clock: FakeClock, notes: Notes
) -> None:
    reads = iter([{"drop-column": "nobody reads it"}])
    children = [FakeChild([[BEGIN, NO_LOCK]], 1), FakeChild([], 0)]
    walk(an_episode(clock, notes, children, ignored=lambda: next(reads), retries=1), clock)
    begins = notes.of(Kind.MIGRATION_BEGIN)
    assert [begin["ignored"] for begin in begins] == [{"drop-column": "nobody reads it"}] * 2


def test_a_credential_of_the_command_is_not_written_down(clock: FakeClock, notes: Notes) -> None:
    child = FakeChild([[BEGIN]], 0, order=Order(("migrate", "--token", "s3cr3t")))
    walk(an_episode(clock, notes, [child]), clock)
    assert notes.of(Kind.MIGRATION_BEGIN)[0]["command"] == ["migrate", "--token", "***"]


@pytest.mark.parametrize(
    ("records", "after", "status", "reached"),
    [
        ([HELLO, ALEMBIC, CONN, {**BEGIN, "step": "version"}], ["r1"], "nothing", None),
        ([HELLO, ALEMBIC, CONN, BEGIN], ["r1"], "ok", True),
        ([HELLO, ALEMBIC, CONN], ["r2"], "ok", True),
        ([HELLO, CONN, {**BEGIN, "step": None}], ["r1"], "ok", True),  # no Alembic: any statement counts
        ([], ["r2"], "ok", True),
        ([], ["r1"], "ok", None),
    ],
)
def test_where_only_the_command_knows_the_target_any_work_counts(
    clock: FakeClock,
    notes: Notes,
    records: list[Mapping[str, Any]],
    after: list[str],
    status: str,
    reached: bool | None,
) -> None:
    answers = iter([["r1"], after])
    episode = an_episode(clock, notes, [FakeChild([records], 0)], target=None)
    episode._revisions = lambda: next(answers)
    walk(episode, clock)
    assert (episode.status, notes.of(Kind.MIGRATION_END)[0]["reached"]) == (status, reached)


def test_an_error_that_env_py_hides_is_named(clock: FakeClock, notes: Notes) -> None:
    hidden = {"kind": "rev_end", "run": 1, "revision": "r1", "ok": False, "error": "ProgrammingError: moons"}
    end_of_it = {
        "kind": "context_end",
        "run": 1,
        "ok": False,
        "heads": ["r0"],
        "error": "ProgrammingError: moons",
    }
    episode = an_episode(clock, notes, [FakeChild([[REVISION, hidden, end_of_it]], 0)], at=["r0"])
    walk(episode, clock)
    end = notes.of(Kind.MIGRATION_END)[0]
    assert (end["status"], end["reached"]) == ("ok", False)
    assert "revision r1 failed (ProgrammingError: moons)" in end["message"]
    assert "env.py hides the error" in end["message"]


def test_an_error_that_env_py_overcame_is_none(clock: FakeClock, notes: Notes) -> None:
    overcome = {"kind": "rev_end", "run": 1, "revision": "r1", "ok": False, "error": "OperationalError: busy"}
    episode = an_episode(clock, notes, [FakeChild([[REVISION, overcome, REVISION]], 0)])
    walk(episode, clock)
    end = notes.of(Kind.MIGRATION_END)[0]
    assert (end["reached"], end["message"]) == (True, "")


def test_every_version_table_must_be_at_the_target(clock: FakeClock, notes: Notes) -> None:
    seen: list[int] = []

    def tables(records: Sequence[Mapping[str, Any]]) -> list[list[str] | None]:
        seen.append(len(records))
        return [["r1"], ["r0"]]

    episode = an_episode(clock, notes, [FakeChild([[REVISION, BEGIN]], 0)], tables=tables)
    walk(episode, clock)
    end = notes.of(Kind.MIGRATION_END)[0]
    assert (end["revisions_after"], end["reached"], seen) == (["r0", "r1"], False, [2])


def test_an_attempt_that_was_killed_on_purpose_is_followed_by_another_at_once(
    clock: FakeClock, notes: Notes
) -> None:
    children = [FakeChild([[REVISION, BEGIN]], -9), FakeChild([[NO_LOCK]], 1), FakeChild([[BEGIN]], 0)]
    terminated: list[list[int]] = []
    episode = an_episode(
        clock,
        notes,
        children,
        again=lambda attempt: attempt == 1,
        retries=1,
        terminate=lambda pids: terminated.append(list(pids)),
    )
    began = clock.now
    walk(episode, clock)
    assert [data["attempt"] for data in notes.of(Kind.MIGRATION_BEGIN)] == [1, 2, 3]
    (end,) = notes.of(Kind.MIGRATION_END)
    assert (end["status"], terminated) == ("ok", [])
    assert clock.now - began < 2.0  # the retry after it is the first, whose pause is the shortest
