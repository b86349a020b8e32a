"""A placebo: the same run without a migration."""

from __future__ import annotations

import pytest

from tests.fix_run import COUNTED, UNTIMED, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_a_placebo_walks_the_phases_and_passes(runs: Runs) -> None:
    placebo = runs("--placebo", *COUNTED, *UNTIMED)
    assert placebo.process.returncode == 0, placebo.output
    assert placebo.gate("migration")["status"] == "not_applicable"
    assert "migrate" in {phase["name"] for phase in placebo.verdict["phases"]}
