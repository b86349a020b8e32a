"""Advice: what is a finding, what only a note, and what nobody needs to be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.core.advice import advise
from harness.core.session_settings import LostSetting
from harness.db.parsing import parse
from tests.fix_advice import (
    AX,
    BAD,
    BOTH,
    FK,
    INDEXES,
    REWRITE,
    SMALL,
    S,
    advice,
    busy,
    done,
    fired,
    sizes,
    traced,
)


@pytest.mark.parametrize("changes", [{"hold_s": 0.6}, {"blocked": 1}])
def test_it_is_a_finding_on_a_small_table_where_it_hurt(changes: dict[str, Any]) -> None:
    step = replace(busy("DROP COLUMN code"), **changes)
    assert [item.severity for item in advice(step, rows=SMALL)] == ["finding"]


CAREFUL = {
    "drop-column": "note",
    "drop-table": "note",
    "drop-trigger": None,
    "create-trigger": None,
    "create-policy": None,
    "drop-foreign-key": None,
    "alter-sequence": None,
}


@pytest.mark.parametrize("rule", CAREFUL)
def test_what_cannot_be_done_better_is_no_finding_when_done_gently(rule: str) -> None:
    (step,) = BAD[rule]
    (said,) = advice(replace(step, measured={"lock_timeout_s": 2.0})) or (None,)
    assert (said and said.severity) == CAREFUL[rule]


@pytest.mark.parametrize("changes", [{"hold_s": 0.6}, {"blocked": 1}])
def test_it_was_not_gentle_when_it_hurt(changes: dict[str, Any]) -> None:
    step = replace(done("DROP TRIGGER tg ON busy", ("busy", AX)), **changes)
    assert [(item.rule, item.severity) for item in advice(step)] == [("drop-trigger", "finding")]


def test_the_size_of_a_partitioned_table_is_that_of_its_partitions() -> None:
    step = done("ALTER TABLE pt DETACH PARTITION pt1", ("pt", AX, "p"))
    assert [item.severity for item in advice(step)] == ["finding"]


CREATED = "CREATE TABLE fresh (id bigint PRIMARY KEY, code text)"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX ix ON fresh (code)",
        "ALTER TABLE fresh ADD COLUMN c uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE fresh ADD CONSTRAINT c CHECK (id > 0)",
        "UPDATE public.fresh SET code = 'x'",
        "DROP TABLE fresh",
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_table_of_this_migration_is_nobodys_business(sql: str, known: bool) -> None:
    steps = (
        done(CREATED),
        done(sql, ("fresh", AX), ("fresh", S), rows=50_000, rewrites=("fresh",), scans=("fresh",)),
    )
    assert advise(traced(*steps), sizes() if known else {}, {}) == ()


def test_a_renamed_table_is_not_a_new_one() -> None:
    steps = (busy("RENAME TO idle"), done("ALTER TABLE idle DROP COLUMN code", ("idle", AX), hold_s=1.0))
    assert "drop-column" in fired(*steps)


def test_create_table_if_not_exists_of_one_that_was_there_makes_it_no_new_one() -> None:
    steps = (
        done("CREATE TABLE IF NOT EXISTS busy (id int)"),
        busy("DROP COLUMN code"),
    )
    assert fired(*steps) == {"drop-column"}


def test_a_lock_kept_from_an_earlier_statement_counts_from_this_ones_start() -> None:
    steps = (busy("ADD COLUMN c int", hold_s=3.0), done("ALTER TABLE busy DROP COLUMN code"))
    found = next(item for item in advice(*steps) if item.rule == "drop-column")
    assert found.evidence == "AccessExclusiveLock on busy held 2.00 s"


def test_the_evidence_is_what_was_measured() -> None:
    step = busy("ALTER COLUMN code TYPE bigint", hold_s=4.118, blocked=12, **REWRITE)
    (found,) = advice(step)
    assert found.evidence == (
        "AccessExclusiveLock on busy held 4.12 s; busy (about 1,000,000 rows) rewritten; "
        "12 sessions waited 7.20 s in all"
    )
    assert (found.statement, found.revision) == (1, "r1")


def test_locks_that_could_not_be_read_are_said_to_be_so() -> None:
    (found,) = advice(done("CREATE INDEX ix ON busy (code)", transaction=None, duration_s=2.5))
    assert (found.rule, found.severity) == ("create-index", "finding")
    assert found.evidence == "its locks could not be read; it took 2.50 s"


def test_a_schema_that_only_one_side_names_may_be_any() -> None:
    assert fired(done("ALTER TABLE public.busy DROP COLUMN code", ("busy", AX))) == {"drop-column"}


def test_a_text_that_nobody_understands_is_judged_by_its_locks() -> None:
    step = done("FROBNICATE busy", ("busy", AX), hold_s=0.9, blocked=3)
    (found,) = advice(step)
    assert (found.rule, found.severity) == ("blocking-lock", "finding")
    assert "FROBNICATE busy" in found.safe


def test_a_statement_that_made_others_wait_never_goes_without_advice() -> None:
    (found,) = advice(done("ALTER TABLE busy SET (parallel_workers = 2)", blocked=2))
    assert (found.rule, found.severity) == ("blocking-lock", "finding")


def test_a_note_does_not_hide_that_others_waited() -> None:
    found = advice(busy("ALTER COLUMN code TYPE text", blocked=2))
    assert [(item.rule, item.severity) for item in found] == [
        ("blocking-lock", "finding"),
        ("alter-type-cached-plan", "note"),
    ]


def test_a_specific_rule_stands_in_for_the_general_one() -> None:
    assert fired(busy("DROP COLUMN code", hold_s=3.0)) == {"drop-column"}


def test_the_timeout_is_asked_for_once_per_transaction() -> None:
    steps = [busy(f"ADD COLUMN c{n} int", lock_timeout_s=0.0) for n in range(3)]
    assert [item.statement for item in advice(*steps) if item.rule == "no-lock-timeout"] == [1]


def test_a_timeout_that_a_commit_took_away_is_missed_outside_a_transaction_too() -> None:
    steps = (
        done("SET LOCAL lock_timeout = '200ms'"),
        done("ALTER TABLE busy ADD COLUMN c int", transaction=None, lock_timeout_s=0.0),
    )
    assert [(item.rule, item.statement) for item in advice(*steps)] == [("no-lock-timeout", 2)]


def test_an_unknown_timeout_is_not_zero() -> None:
    assert fired(busy("ADD COLUMN c int", lock_timeout_s=None)) == set()


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (LostSetting("lock_timeout", 0.5, 0.0, 3), "was set to 500 ms by statement 3; it ran with none"),
        (LostSetting("lock_timeout", 2.0, 5.0, None), "2.00 s before the revisions; it ran with 5.00 s"),
        (LostSetting("lock_timeout", 2.0, 0.0, 1, True), "asked right after it, the session had none"),
    ],
)
def test_the_evidence_of_a_lost_setting_is_where_it_was_looked_for(lost: LostSetting, said: str) -> None:
    (found,) = advice(done("SELECT 1", lost=(lost,)))
    assert (found.rule, found.severity) == ("setting-lost-in-pooler", "finding")
    assert said in found.evidence


def test_a_lost_setting_is_told_once_per_transaction() -> None:
    lost = (LostSetting("lock_timeout", 2.0, 0.0, 1),)
    steps = [done(f"SELECT {n}", lost=lost, transaction=n // 2 + 1) for n in range(4)]
    assert [found.statement for found in advice(*steps)] == [1, 3]


def test_an_ignored_rule_stays_to_be_seen_and_comes_last() -> None:
    steps = (
        busy("DROP COLUMN code", hold_s=9.0),
        done("DROP INDEX busy_tenant", ("busy", AX), transaction=2),
    )
    found = advice(*steps, ignored={"drop-column": "release 41 stopped reading it"})
    assert [(item.rule, item.severity, item.reason) for item in found] == [
        ("drop-index", "finding", ""),
        ("drop-column", "ignored", "release 41 stopped reading it"),
    ]


def test_the_worst_comes_first() -> None:
    steps = (
        busy("DROP COLUMN code", transaction=1),
        done("CREATE INDEX ix ON busy (id)", ("busy", S), transaction=2, blocked=4),
        done("DROP INDEX busy_tenant", ("busy", AX), transaction=3, hold_s=2.0),
    )
    assert [item.rule for item in advice(*steps)] == ["create-index", "drop-index", "drop-column"]


def test_secrets_in_a_statement_do_not_go_into_the_advice() -> None:
    step = done("DO $$ BEGIN PERFORM dblink('password=hunter2'); END $$", ("busy", AX), hold_s=3.0)
    assert "hunter2" not in advice(step)[0].safe


def test_a_foreign_key_may_have_its_index_later() -> None:
    key = done(f"ALTER TABLE busy {FK} NOT VALID", *BOTH)
    index = "CREATE INDEX CONCURRENTLY ix ON busy ({}, tenant_id)"
    (column,) = next(a.columns for a in parse(key.sql).actions if a.verb == "add_foreign_key")
    assert "foreign-key-without-index" not in fired(key, done(index.format(column), transaction=None))
    assert "foreign-key-without-index" in fired(key, done(index.format("note"), transaction=None))


def test_several_attempts_at_one_statement_get_one_advice_by_the_worst() -> None:
    first, second = (
        busy("ADD COLUMN flag boolean", hold_s=hold_s, blocked=3, transaction=transaction)
        for transaction, hold_s in ((1, 1.0), (2, 2.0))
    )
    twice = traced(first, second)
    again = (twice[0], replace(twice[1], statement=replace(twice[1].statement, attempt_of=1)))
    for statements, said_of in ((twice, {1, 2}), (again, {2})):
        said = [one for one in advise(statements, sizes(), {}, INDEXES) if one.rule == "blocking-lock"]
        assert {one.statement for one in said} == said_of
