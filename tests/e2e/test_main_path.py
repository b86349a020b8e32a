"""The whole path as a person walks it: load, migration in its middle, verdict, reports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.core.isolation import TOKEN_PROBES
from harness.stored_record import read_record
from tests.fix_run import SHORT, Run

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.quiet, pytest.mark.timeout(240)]

SharedRuns = Callable[..., Run]

SIZES = "SELECT id FROM documents WHERE size_bytes <> size"
"""A promise of the upgrade; its rollback takes the column away again."""


@pytest.fixture
def safe(shared_runs: SharedRuns) -> Run:
    """There and back again, so that one run shows both."""
    return shared_runs(*SHORT, "--drill", "rollback", "--invariant", f"sizes: {SIZES}")


def test_a_safe_migration_passes(safe: Run) -> None:
    assert safe.process.returncode == 0, safe.output
    assert safe.verdict["status"] == "pass"
    assert {gate["status"] for gate in safe.verdict["gates"]} <= {"pass", "not_applicable"}


def test_every_statement_of_a_safe_migration_is_named_with_its_revision(safe: Run) -> None:
    migration = safe.verdict["migration"]
    assert migration["status"] == "ok"
    assert migration["from"] == "v1"
    assert len(migration["statements"]) >= 8
    assert all(statement["revision"] and statement["duration_s"] > 0 for statement in migration["statements"])
    assert any("CONCURRENTLY" in statement["sql"].upper() for statement in migration["statements"])


def test_users_write_and_nothing_they_wrote_is_lost(safe: Run) -> None:
    assert safe.verdict["ledger"]["acknowledged"] > 50
    ledger = safe.verdict["ledger"]
    for kind in ("lost", "hidden", "resurrected", "unexpected", "duplicated", "stale", "totals_wrong"):
        assert ledger[kind] == 0
    assert ledger["reads"] > 100
    assert ledger["totals_checked"] >= 30  # each account's at the end, by the service and by SQL
    assert safe.verdict["isolation"]["reads_checked"] > 200
    assert safe.verdict["isolation"]["probes"] > 0


def test_nobody_passes_for_another_by_what_is_no_token_or_none_any_more(safe: Run) -> None:
    rows = [row for row in safe.verdict["isolation"]["rows"] if row["probe"] in TOKEN_PROBES]
    assert all(row["refused"] == row["tried"] for row in rows), rows
    tried = {row["probe"] for row in rows if row["tried"]}
    assert tried == {*TOKEN_PROBES} - {"altered_token"}  # which is for tokens of another kind
    assert not [limit for limit in safe.verdict["limits"] if limit.startswith("Isolation")]


def test_every_change_and_every_status_was_pushed(safe: Run) -> None:
    pushed = safe.verdict["websocket"]
    assert pushed["delivered"] > 50
    assert (pushed["missed"], pushed["unsettled"], pushed["odd"]) == (0, 0, {})
    assert pushed["clock_error_s"] < 0.25
    assert pushed["status_delivered"] == pushed["status_expected"] >= 30 * 3


def test_who_was_logged_in_stays_so_and_who_logs_in_is_let_in(safe: Run) -> None:
    found = safe.verdict["continuity"]
    kinds = ("old_token", "fresh_login", "first_use")
    assert [found[kind]["worked"] for kind in kinds] == [found["accounts"]] * 3 == [5] * 3
    assert safe.gate("continuity")["status"] == "pass"
    assert safe.phases()[-3:] == ["probe", "drain", "final_read"]


def test_the_run_directory_holds_every_file(safe: Run) -> None:
    names = {path.name for path in safe.directory.iterdir()}
    assert names >= {
        "plan.json",
        "environment.json",
        "events.ndjson",
        "samples.blocks",
        "operations.blocks",
        "final_read.ndjson.gz",
        "probes.ndjson",
        "websocket.ndjson",
        "health.ndjson",
        "observer.json",
        "database.ndjson",
        "catalog_before.json",
        "catalog_after.json",
        "catalog_after_rollback.json",
        "contents.json",
        "predictions.json",
        "verdict.json",
        "report.html",
        "junit.xml",
        "summary.md",
        "percentiles",
        "logs",
    }
    assert read_record(safe.directory).missing == ()


def test_the_database_was_watched_to_the_end_and_nothing_hurt_it(safe: Run) -> None:
    watched = read_record(safe.directory).observed
    assert watched.ended_at is not None
    assert watched.complete, watched
    for gate in ("lock_wait", "deadlocks", "catalog"):
        assert safe.gate(gate)["status"] == "pass", safe.gate(gate)


def test_the_report_is_one_file_under_five_megabytes(safe: Run) -> None:
    assert (safe.directory / "report.html").stat().st_size < 5_000_000


def test_analyze_by_other_gates_prints_and_keeps_the_original(safe: Run) -> None:
    before = (safe.directory / "verdict.json").read_bytes()
    command = [
        sys.executable,
        "-m",
        "harness",
        "analyze",
        str(safe.directory),
        "--gate",
        "p95{phase=migrate} < 1ms",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert '"status": "fail"' in result.stdout
    assert (safe.directory / "verdict.json").read_bytes() == before


def test_a_rollback_under_load_is_judged_too(safe: Run) -> None:
    assert safe.process.returncode == 0, safe.output
    assert {"rollback", "rollback_recover"} <= {phase["name"] for phase in safe.verdict["phases"]}
    expressions = [gate["expression"] for gate in safe.verdict["gates"] if gate["name"] == "stall"]
    assert any("rollback" in expression for expression in expressions)
    assert safe.verdict["rollback"]["to"] == "v1"


def test_a_rollback_brings_back_the_schema_and_the_rows(safe: Run) -> None:
    assert safe.gate("rollback_schema")["status"] == "pass"
    assert safe.gate("rollback_data")["status"] == "pass"
    [trip] = safe.verdict["round_trips"]
    rows = {table["name"]: table["compared"] for table in trip["tables"]}
    assert rows["documents"] == 30_000
    assert (trip["losses"], trip["schema"]) == ([], [])


def test_a_rollback_that_is_a_drill_is_graded(safe: Run) -> None:
    [drill] = safe.verdict["drills"]
    assert (drill["name"], drill["grade"]) == ("rollback", "A"), drill["why"]
    assert drill["evidence"]["not_brought_back"] == []
    assert safe.gate("drills")["status"] == "pass"


def test_an_invariant_of_the_upgrade_holds_until_the_rollback_takes_it_away(safe: Run) -> None:
    assert safe.gate("invariant:sizes")["status"] == "pass"
    [sizes] = safe.verdict["invariants"]
    assert [(one["when"], one["rows"]) for one in sizes["answers"]] == [
        ("before", None),
        ("upgraded", 0),
        ("end", None),
    ]
    assert "undefined column" not in {error["name"] for error in safe.verdict["errors"]}
