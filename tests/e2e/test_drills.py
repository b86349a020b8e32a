"""Drills in real runs: a migration killed while users are there, and one killed at every statement."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.fix_run import BRIEF, UNTIMED, Run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

KILLED = ("--drill", "kill-migrator", *BRIEF, "--rows", "30000", *UNTIMED)
EACH = ("--drill", "kill-migrator@each", "--upgrade", "safe1", *BRIEF, "--rows", "2000", *UNTIMED)


@pytest.fixture(scope="module")
def killed(shared_runs: Callable[..., Run]) -> Run:
    return shared_runs(*KILLED)


@pytest.fixture(scope="module")
def each(shared_runs: Callable[..., Run]) -> Run:
    return shared_runs(*EACH)


def test_a_migration_killed_half_way_is_completed_by_its_re_run(killed: Run) -> None:
    [drill] = killed.verdict["drills"]
    assert killed.process.returncode == 0, killed.output
    assert (drill["name"], drill["grade"] in "AB") == ("kill-migrator", True)
    assert drill["at"] < drill["end_at"]
    assert drill["evidence"]["statement"] > 5
    assert drill["evidence"]["sent_later"] == 0
    assert drill["evidence"]["revisions_left"] not in (["v1"], ["safe6"])
    [begin, again] = killed.events("migration_begin")
    assert (begin["attempt"], again["attempt"]) == (1, 2)
    assert killed.verdict["migration"]["status"] == "ok"
    assert [killed.gate(name)["status"] for name in ("migration", "catalog", "drills")] == ["pass"] * 3


def test_its_clients_writes_are_all_there(killed: Run) -> None:
    assert killed.verdict["ledger"]["acknowledged"] > 100
    assert killed.verdict["ledger"]["lost"] == 0
    assert killed.error_ratios == {0.0}


def test_the_verdict_is_made_of_the_record_alone(killed: Run) -> None:
    before = (killed.directory / "verdict.json").read_bytes()
    subprocess.run([sys.executable, "-m", "harness", "analyze", str(killed.directory)], check=True)
    assert (killed.directory / "verdict.json").read_bytes() == before


def test_the_walk_kills_at_every_statement_and_prints_the_matrix(each: Run) -> None:
    assert each.process.returncode == 0, each.output
    [drill] = each.verdict["drills"]
    evidence = drill["evidence"]
    assert len(evidence["cells"]) == evidence["places"] >= 2 * evidence["statements"]
    assert {cell["grade"] for cell in evidence["cells"]} == {"A"}  # all of safe1 is one transaction
    assert {tuple(cell["revisions_left"]) for cell in evidence["cells"]} == {("v1",)}
    assert all(cell["sent_later"] == 0 and cell["after"] == "at safe1" for cell in evidence["cells"])
    assert "Left by it" in each.output
    assert "before the commit" in each.output


def test_the_load_before_the_walk_is_judged_as_ever(each: Run) -> None:
    assert each.phases()[-3:] == ["drain", "final_read", "drill_walk"]
    assert each.gate("migration")["status"] == "pass"
    assert each.error_ratios == {0.0}
    assert each.verdict["complete"] is True
    assert (each.directory / "report.html").read_text().count("place by place") == 1
