"""What happened, in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.facts import findings, migration_facts, run_facts
from tests.unit.report import sample


def test_each_part_of_the_run_has_its_sentence() -> None:
    told = {fact.title: fact.text for fact in run_facts(sample.red_verdict())}
    assert told["Ledger"].startswith("1,204 acknowledged writes: 0 lost, 0 hidden,")
    assert told["Isolation"] == (
        "3,410 answers checked, 212 probes of foreign records: 0 leaks. No forged token was tried."
    )
    assert "delivery p99 9.4 s" in told["WebSocket"]
    assert told["WebSocket"].endswith("The migration's status reached 90 of 90, p99 62 ms.")
    assert told["Load"].startswith("30 users on 1 worker, 79.6/s sent of 80/s asked for; 4,712 requests")


def test_a_reconnect_tells_how_long_it_took_and_what_came_afterwards() -> None:
    pushed = {**sample.red_verdict()["websocket"], "reconnects": 2, "reconnect_p99_s": 0.31, "resumed": 5}
    told = {fact.title: fact.text for fact in run_facts({"websocket": {**pushed, "status_expected": None}})}
    assert "2,113 events delivered, 5 resumed, 0 missed" in told["WebSocket"]
    assert "2 reconnects (p99 310 ms)" in told["WebSocket"]
    assert "status" not in told["WebSocket"]


def test_the_run_that_gates_compare_with_is_named() -> None:
    told = {fact.title: fact.text for fact in run_facts({**sample.red_verdict(), "baseline_run": "run-7"})}
    assert told["Baseline"] == "Gates with {run=baseline} compare with run-7."
    assert "Baseline" not in {fact.title for fact in run_facts(sample.red_verdict())}


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ({"status": "ok", "duration_s": 4.0}, "ended ok after 4 s."),
        (
            {"status": "failed", "duration_s": 1.0, "message": "exit code 3."},
            "failed after 1 s: exit code 3.",
        ),
        ({"status": None, "duration_s": None}, "how it ended is not recorded."),
    ],
)
def test_what_was_deployed_has_its_sentence(end: dict[str, Any], told: str) -> None:
    deploy = {"how": "roll --all", "when": "after", "message": "", **end}
    texts = {fact.title: fact.text for fact in run_facts({"deploy": deploy})}
    assert texts["Deploy"] == f"roll --all, after the migration: {told}"
    assert "Deploy" not in {fact.title for fact in run_facts({"deploy": None})}


def test_a_part_without_a_known_number_was_not_measured() -> None:
    told = {fact.title: fact.text for fact in run_facts({"ledger": {"lost": None, "offenders": []}})}
    assert set(told.values()) == {"Not measured."}


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        ("ok", "", "reached its target"),
        ("deadline", "cancelled after 30 s", "cancelled at its deadline. cancelled after 30 s"),
        (None, "", "its end was not seen"),
        ("new", "", "new"),
    ],
)
def test_a_migration_tells_its_end(status: str | None, message: str, words: str) -> None:
    result = next(migration_facts({"status": status, "message": message}))
    assert (result.title, result.text) == ("Result", words)


def test_a_migration_tells_its_revisions_and_attempts() -> None:
    migration = sample.red_verdict()["migration"] | {"attempts": 3}
    told = {fact.title: fact.text for fact in migration_facts(migration)}
    assert told["c41f0a7be2d9"] == "step c (2.6 s)"
    assert told["Process"] == "11.8 s, 3 attempts"
    assert told["Command"] == "python -m alembic -c alembic.ini upgrade unsafe@head"


def test_findings_show_the_history_of_a_lost_write() -> None:
    read = {"kind": "read", "outcome": "ok", "invoked_at": 33.0, "phase": "migrate"}
    history = [
        {"kind": "create", "version": 1, "outcome": "ok", "invoked_at": 31.0, "ended_at": 31.2},
        {**read, "version": 1, "shown": 1, "ended_at": 33.1},
        {**read, "version": None, "shown": 0, "ended_at": 33.5},
    ]
    who = {"kind": "lost", "account": "a7", "key": "k1", "why": "absent by API"}
    offender = {**who, "history": history, "last_seen_at": 33.1}
    verdict = {"ledger": {"offenders": [offender]}, "isolation": {"examples": ["a7 saw k9 of a8"]}}
    assert [(fact.title, fact.text) for fact in findings(verdict)] == [
        (
            "lost",
            "k1 of account a7: absent by API, last seen at 33.1 s (create ok as version 1 at 31.2 s,"
            " read showed it as version 1 at 33.1 s (migrate), read showed nothing at 33.5 s (migrate))",
        ),
        ("leak", "a7 saw k9 of a8"),
    ]


def test_waits_are_told_with_how_they_were_seen() -> None:
    told = {fact.title: fact.text for fact in run_facts(sample.red_verdict())}
    assert told["Waits"] == (
        "212 waits of 24 sessions, 146 session-seconds in all, the longest 9.17 s. Because of the migration:"
        " 180 waits of 24 sessions, 141 session-seconds in all, the longest 9.17 s."
        " Observed at least every 50 ms, late by 2.1 ms (p99); the server's log was read."
    )
    assert told["Database"].startswith("At most 14 sessions waiting at once, oldest transaction 41.2 s")
    assert told["Schema"] == "Compared before and after: 2 findings."


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        ({"count": 0, "observed": {}}, "No session waited for a lock."),
        ({"observed": {"why_blind": "GRANT pg_monitor TO app"}}, "not see every wait: GRANT pg_monitor"),
        ({"observed": {"interval_s": 0.05, "ended_at": None}}, "The observer died before its end."),
        ({"observed": {"interval_s": 0.05, "why_no_log": "no rights"}}, "server's log was not: no rights."),
        ({"observed": {"interval_s": 0.05, "gaps": [[1.0, 3.5]]}}, "It saw nothing for 2.5 s in between."),
        (None, "Not measured."),
    ],
)
def test_an_observer_that_could_not_see_says_why(waits: dict[str, object] | None, words: str) -> None:
    told = {fact.title: fact.text for fact in run_facts({"waits": waits})}
    assert words in told["Waits"]


def test_a_schema_that_was_not_read_says_why() -> None:
    told = {fact.title: fact.text for fact in run_facts({"catalog": {"read": False, "why": "no rights"}})}
    assert told["Schema"] == "Not compared: no rights."
    assert "Schema" not in {fact.title for fact in run_facts({"catalog": None})}


def test_continuity_says_how_many_of_each_worked() -> None:
    kinds = {
        "old_token": {"worked": 0, "failed": 0, "unclear": 0},
        "fresh_login": {"worked": 5, "failed": 0, "unclear": 0},
        "first_use": {"worked": 3, "failed": 2, "unclear": 0},
    }
    text = {f.title: f.text for f in run_facts({"continuity": {"accounts": 5, **kinds}})}["Continuity"]
    assert text == (
        "5 accounts tried after the migration, of which worked: no old token, fresh login 5 of 5,"
        " first use 3 of 5."
    )


def test_nothing_tried_is_said() -> None:
    texts = {f.title: f.text for f in run_facts({"continuity": {"accounts": 0, "examples": []}})}
    assert texts["Continuity"] == "No token and no login was tried."


def test_lost_sessions_are_findings() -> None:
    [found] = findings({"continuity": {"examples": ["ada: it could not log in: HTTP 500"]}})
    assert (found.title, found.text) == ("session", "ada: it could not log in: HTTP 500")


@pytest.mark.parametrize(
    ("replica", "said"),
    [
        (
            {"source": "primary", "lag_s": {"warmup": 0.0, "migrate": 6.25}, "behind_bytes": 2_097_152},
            "r1 (as the primary told): at most 6.25 s behind (in migrate), 2 MB.",
        ),
        (
            {"conflicts": {"confl_lock": 2, "confl_x": 0}},
            "2 queries canceled by conflicts with recovery (2 lock).",
        ),
        ({"conflicts": {}}, "0 queries canceled by conflicts with recovery."),
        ({"lag_s": {}, "why": "refused"}, "how far it was behind is not known (refused)."),
    ],
)
def test_a_replica_is_told_by_its_worst_phase(replica: dict[str, Any], said: str) -> None:
    known = {"name": "r1", "source": "replica", "lag_s": {"migrate": 0.0}, **replica}
    (fact,) = [fact for fact in run_facts({"replicas": [known]}) if fact.title == "Replica"]
    assert said in fact.text
