"""`--services docker`: the same run as on the embedded server, and the same findings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fix_docker import Leftovers
from tests.fix_run import BRIEF, UNTIMED, Run, Runs

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.migration]


def locks(run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """The statements of the migration, each with the relations it locked and how."""
    return [
        (statement["sql"], sorted((lock["relation"], lock["mode"]) for lock in statement["locks"]))
        for statement in run.verdict["migration"]["statements"]
    ]


def judged(run: Run) -> dict[str, Any]:
    """The status of every gate."""
    return {gate["name"]: gate["status"] for gate in run.verdict["gates"]}


@pytest.mark.timeout(300)
def test_a_container_and_the_embedded_server_give_the_same_verdict_and_the_same_locks(
    runs: Runs, postgres_image: str, leftovers: Leftovers
) -> None:
    flags = [*BRIEF, "--rows", "30000", *UNTIMED, "--no-gate", "lock_wait", "--upgrade", "unsafe@head"]
    embedded = runs(*flags)
    expected = locks(embedded), judged(embedded), embedded.process.returncode
    inside = runs(*flags, "--services", "docker", "--postgres-version", "18")
    assert (locks(inside), judged(inside), inside.process.returncode) == expected
    assert inside.verdict["environment"]["postgresql"]["image"].startswith("postgres:18-alpine sha256:")
    assert "AccessExclusiveLock" in str(expected)
    assert "listening on IPv4" in (inside.directory / "logs" / "postgresql.log").read_text()
    assert leftovers.of(inside.verdict["run_id"]) == []


DRILLS = ("disconnect-database=2s", "limit-cpu=2s", "fill-disk=8s")

UNHURRIED = ("--target-rate", "25", "--baseline-time", "5s", "--recover-time", "8s", "--no-gate", "errors")
"""A load that a busy machine serves, also with hardly any CPU left to its database."""


@pytest.mark.timeout(240)
def test_a_database_in_a_container_comes_back_from_every_drill(
    runs: Runs, postgres_image: str, leftovers: Leftovers
) -> None:
    flags = [flag for drill in DRILLS for flag in ("--drill", drill)]
    run = runs(*BRIEF, *UNTIMED, *UNHURRIED, "--services", "docker", "--postgres-version", "18", *flags)
    drills = {drill["name"]: drill for drill in run.verdict["drills"]}
    assert list(drills) == list(DRILLS)
    assert {drill["grade"] for drill in drills.values()} <= {"A", "B"}, drills
    assert run.process.returncode == 0, run.output
    disconnected, limited, filled = (drill["evidence"] for drill in drills.values())
    assert disconnected["failed"] > 0
    assert limited["fault_s"] >= 2.0
    assert any("53100" in cause for cause in filled["errors"]), filled
    full = [error for error in run.verdict["errors"] if error["name"] == "disk full"]
    assert {error["sqlstate"] for error in full} == {"53100"}
    assert "drill" in {error["phase"] for error in full}
    assert "No space left on device" in (run.directory / "logs" / "postgresql.log").read_text()
    assert leftovers.of(run.verdict["run_id"]) == []
