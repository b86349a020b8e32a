"""After this migration nobody can log in any more, though nobody who was logged in notices; and its downgrade
brings nothing back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fix_run import COUNTED, UNTIMED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

INI = Path(__file__).parents[1] / "migrations" / "on_reference" / "failing.ini"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """There and back."""
    runs = Runs(tmp_path_factory.mktemp("locked_out"))
    there_and_back = ("--upgrade", "locked_out", "--downgrade", "v1")
    yield runs(*COUNTED, *UNTIMED, "--rows", "2000", "--alembic-config", str(INI), *there_and_back)
    runs.stop()


def test_a_migration_that_locks_everybody_out_is_found(run: Run) -> None:
    assert run.process.returncode == 1, run.output
    assert run.gate("continuity")["status"] == "fail"
    assert run.gate("errors")["status"] == "pass"
    found = run.verdict["continuity"]
    assert found["accounts"] == found["old_token"]["worked"] == found["fresh_login"]["failed"] == 5
    assert found["fresh_login"]["worked_before"]
    assert found["first_use"]["worked"] == found["first_use"]["failed"] == 0
    assert "it could not log in: HTTP" in " ".join(run.output.split())


def test_a_downgrade_that_does_not_bring_back_what_the_upgrade_overwrote_is_found(run: Run) -> None:
    migrated = [gate["status"] for gate in run.verdict["gates"] if gate["name"] == "migration"]
    assert migrated == ["pass", "pass"], "it did what it was written to do"
    for name in ("rollback_data", "rollback_schema"):
        assert run.gate(name)["status"] == "fail", run.output
    [trip] = run.verdict["round_trips"]
    assert "password_hash" in str(trip["losses"])
    assert "hashed" in str(trip["schema"])
    said = " ".join(run.output.split())
    assert "password_hash" in said
