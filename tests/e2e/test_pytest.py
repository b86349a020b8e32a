"""A real run in a scratch project's pytest: its tests say what its verdict says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.fix_run import LOCUSTFILE, without_test_settings

pytestmark = [pytest.mark.e2e, pytest.mark.migration]

PLAN = """
[phases]
warmup = "1s"
baseline = "5s"
recover = "5s"
probe = "0s"

[load]
target-rate = 50

[verdict]
gates = ["impossible: p95{phase=baseline} < 0.001ms"]
no-gates = ["catalog"]

[demo]
rows = 5000
"""

OWN_TEST = """
import pytest

@pytest.mark.migration
def test_target(migration_run):
    assert migration_run.verdict["migration"]["to"] == "safe6"

def test_other():
    pass
"""

OUTCOMES = {"pass": "passed", "fail": "failure", "inconclusive": "failure", "not_applicable": "skipped"}
WORST = ("fail", "inconclusive", "pass", "not_applicable")


def test_the_tests_of_a_suite_say_what_the_verdict_says(tmp_path: Path) -> None:
    (tmp_path / "harness.toml").write_text(PLAN)
    (tmp_path / "test_shop.py").write_text(OWN_TEST)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--junitxml", "junit.xml", "--timeout", "20"),
            *("--migration-plan=harness.toml", f"--migration-locustfile={LOCUSTFILE}"),
        ],
        cwd=tmp_path,
        env=without_test_settings(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    verdict = json.loads((tmp_path / "runs" / "latest" / "verdict.json").read_text())
    statuses: dict[str, list[str]] = {}
    for gate in verdict["gates"]:
        statuses.setdefault(f"gate[{gate['name']}]", []).append(gate["status"])
    told = {name: OUTCOMES[min(found, key=WORST.index)] for name, found in statuses.items()}
    assert told["gate[impossible]"] == "failure"
    assert told["gate[migration]"] == "passed"
    assert "gate[catalog]" not in told
    assert _outcomes(tmp_path / "junit.xml") == {
        **told,
        "run": "passed",
        "test_target": "passed",
        "test_other": "passed",
    }


def _outcomes(junit: Path) -> dict[str, str]:
    """Of each test: `passed`, or how else it ended."""
    cases = ElementTree.parse(junit).iter("testcase")
    return {str(case.get("name")): case[0].tag if len(case) else "passed" for case in cases}
