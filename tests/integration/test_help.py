"""What stands in the help pages, run: the shell of their CI jobs and their Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.help import page, topics
from tests.fix_run import without_test_settings
from tests.unit.test_help import BLOCK
from tests.unit.test_help_ci import scripts, steps

pytestmark = pytest.mark.integration

PYTHON = [
    (topic, block)
    for topic in topics()
    for language, block in BLOCK.findall(page(topic))
    if language == "python"
]

EXECUTE = """
import json, sys, traceback
import locust

failed = []
for topic, block in json.load(sys.stdin):
    try:
        exec(compile(block, topic, "exec"), {"__name__": topic})
    except BaseException:
        failed.append(traceback.format_exc())
    else:
        print(topic)
sys.exit("\\n".join(failed) or 0)
"""
"""Each block in a namespace of its own: prints the topics of those that ended well, fails with the others."""


def test_the_python_of_the_pages_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE],
        input=json.dumps(PYTHON),
        cwd=tmp_path,
        env=without_test_settings(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [topic for topic, _ in PYTHON]
    assert {"authentication", "own-service", "locustfiles", "pytest"} <= {topic for topic, _ in PYTHON}


PARSE = """
while IFS= read -rd '' script; do
    eval "parsed() {
$script
}" || exit
done
"""
"""A function's body is read to its end, and not run."""


def test_every_script_is_one_to_a_shell() -> None:
    # GitHub puts in what is in braces before the shell sees it.
    plain = [re.sub(r"\$\{\{.*?\}\}", "x", script) for script in scripts()]
    text = "".join(f"{script}\0" for script in plain)
    done = subprocess.run(["bash", "-c", PARSE], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(plain) > 5


@pytest.mark.parametrize(
    ("code", "ends", "said"),
    [("0", 0, ""), ("4", 0, "::warning::"), ("1", 1, ""), ("2", 2, ""), ("130", 130, ""), ("", 1, "")],
)
def test_the_verdict_step_maps_exit_codes_as_the_table_says(code: str, ends: int, said: str) -> None:
    (verdict,) = (step for step in steps() if step.get("name") == "Verdict")
    done = subprocess.run(
        ["bash", "-e", "-c", verdict["run"]], env={"CODE": code}, capture_output=True, text=True
    )
    assert done.returncode == ends
    assert done.stdout.startswith(said)
