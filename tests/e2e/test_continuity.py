"""A migration after which nobody can log in any more fails, though nobody who was logged in noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fix_run import SHORT, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

INI = Path(__file__).parents[1] / "migrations" / "on_reference" / "failing.ini"


def test_a_migration_that_locks_everybody_out_is_found(runs: Runs) -> None:
    run = runs(*SHORT, "--rows", "2000", "--alembic-config", str(INI), "--upgrade", "locked_out")
    assert run.process.returncode == 1, run.output
    assert run.gate("continuity")["status"] == "fail"
    assert run.gate("errors")["status"] == "pass"
    found = run.verdict["continuity"]
    assert found["accounts"] == found["old_token"]["worked"] == found["fresh_login"]["failed"] == 5
    assert found["fresh_login"]["worked_before"]
    assert found["first_use"]["worked"] == found["first_use"]["failed"] == 0
    assert "it could not log in: HTTP" in " ".join(run.output.split())
