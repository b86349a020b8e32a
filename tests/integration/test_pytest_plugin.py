"""`pytest --migration-plan`: one run, a test for each gate, and nothing at all without the option.

The run is a stand-in that leaves a given verdict behind; `tests/e2e/test_pytest.py` makes a real one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness.clock import wait_until
from harness.core.gates import BUILT_IN
from harness.core.plan import Plan
from harness.run import locust_process

pytestmark = [pytest.mark.integration]

STAND_IN = """
import json, os, pathlib, signal, sys, time
here = pathlib.Path({folder!r})
told = json.loads((here / "told.json").read_text())
with (here / "starts").open("a") as starts:
    starts.write("started\\n")
print("what locust said about", os.environ.get("SHOP"))
root = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
if told["verdict"] is not None:
    (root / "R1").mkdir(parents=True)
    (root / "R1" / "verdict.json").write_text(json.dumps(told["verdict"]))
    (root / "latest").symlink_to("R1")
if told["waits"]:
    signal.signal(signal.SIGINT, lambda *_: (here / "in_order").touch() or sys.exit(130))
    (here / "waiting").touch()
    time.sleep(60)
sys.exit(told["exit_code"])
"""

STAND_IN_FOR_LOCUST = """
import sys
from harness.run import locust_process
locust_process.run_command = lambda *_: [sys.executable, "stand_in.py", "x", "y"]
"""

PLAN = """
[verdict]
gates = ["slow: p95{phase=migrate} < 800ms"]
no-gates = ["ws_missed", "ws_delivery"]
"""

MADE = dict.fromkeys(gate.name for row in BUILT_IN for gate in row.make(Plan()))
NAMES = [name for name in MADE if name not in ("ws_missed", "ws_delivery")] + ["slow"]


def gate(name: str, status: str = "pass", why: str = "") -> dict[str, Any]:
    numbers = {"observed": 0.31, "limit": 0.2, "unit": "s", "samples": 900}
    return {"name": name, "expression": f"{name} <= 0.2s", "status": status, "why": why, **numbers}


def verdict(*others: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A verdict in which every gate passes but `others`."""
    named = {one["name"] for one in others}
    gates = [gate(name) for name in NAMES if name not in named] + list(others)
    return {"complete": True, "interrupted_in": None, "status": "pass", "gates": gates, **changes}


Start = Callable[..., pytest.RunResult]


def told(pytester: pytest.Pytester, judged: Any, exit_code: int = 0, waits: bool = False) -> None:
    """What the stand-in leaves behind."""
    content = {"verdict": judged, "exit_code": exit_code, "waits": waits}
    (pytester.path / "told.json").write_text(json.dumps(content))


@pytest.fixture(autouse=True)
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other plug-in is loaded: each costs half a second."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "harness.pytest_plugin")


@pytest.fixture
def start(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Runs pytest in a scratch project whose locust is the stand-in."""
    script = pytester.makepyfile(stand_in=STAND_IN.format(folder=str(pytester.path)))
    monkeypatch.setattr(locust_process, "run_command", lambda *_: [sys.executable, str(script), "x", "y"])
    (pytester.path / "harness.toml").write_text(PLAN)
    (pytester.path / "locustfile.py").touch()

    def run(*arguments: str, judged: Any = None, exit_code: int = 0) -> pytest.RunResult:
        told(pytester, judged, exit_code)
        return pytester.runpytest_inprocess("--migration-plan", "harness.toml", *arguments)

    return run


def starts(pytester: pytest.Pytester) -> int:
    """How often the run was started."""
    file = pytester.path / "starts"
    return len(file.read_text().splitlines()) if file.is_file() else 0


def test_a_passing_verdict_passes_a_test_for_each_gate_of_one_run(
    pytester: pytest.Pytester, start: Start
) -> None:
    result = start("-v", judged=verdict())
    result.assert_outcomes(passed=1 + len(NAMES))
    result.stdout.fnmatch_lines(["*harness.toml::run PASSED*", "*harness.toml::gate?slow? PASSED*"])
    assert "ws_missed" not in result.stdout.str()
    assert starts(pytester) == 1


def test_what_the_plan_asks_for_besides_is_tested_too(pytester: pytest.Pytester, start: Start) -> None:
    asked = 'invariants = ["slugs: SELECT 1 WHERE false"]\n[migration]\ndowngrade = "base"\n'
    (pytester.path / "harness.toml").write_text(PLAN + asked)
    judged = verdict(
        gate("rollback_data"), gate("invariant:slugs", "fail", "3 rows at the end"), status="fail"
    )
    result = start("-v", judged=judged)
    result.stdout.fnmatch_lines(["*harness.toml::gate?rollback_data? PASSED*", "invariant:slugs: fail"])
    result.stdout.fnmatch_lines(["The verdict has no gate rollback_schema."])
    result.assert_outcomes(passed=len(NAMES) + 2, failed=2)


def test_a_red_gate_is_a_failed_test_with_its_why(start: Start) -> None:
    result = start(
        judged=verdict(gate("stall", "fail", "statement 3 of r2 made a session wait"), status="fail")
    )
    result.assert_outcomes(passed=len(NAMES), failed=1)
    result.stdout.fnmatch_lines(
        [
            "stall: fail",
            "*statement 3 of r2 made a session wait",
            "report: runs/R1/report.html",
            "what locust said*",
        ]
    )
    result.stdout.fnmatch_lines(["*observed 310 ms, limit 200 ms, samples 900*"])
    result.stdout.fnmatch_lines(["FAILED harness.toml::gate?stall?*"])


def test_the_worst_of_gates_of_one_name_counts_and_each_red_one_is_told(start: Start) -> None:
    red = [
        gate("errors", "fail", "of the upgrade"),
        gate("errors"),
        gate("errors", "fail", "of the rollback"),
    ]
    result = start("-k", "errors", judged=verdict(*red, status="fail"))
    result.assert_outcomes(failed=1, deselected=len(NAMES))
    result.stdout.fnmatch_lines(["*of the upgrade", "*of the rollback"])


def test_an_inconclusive_gate_fails_and_says_so(start: Start) -> None:
    result = start(judged=verdict(gate("latency", "inconclusive", "too few samples"), status="inconclusive"))
    result.assert_outcomes(passed=len(NAMES), failed=1)
    result.stdout.fnmatch_lines(["latency: inconclusive", "*too few samples"])


def test_a_gate_with_nothing_to_judge_is_skipped_with_the_reason(start: Start) -> None:
    result = start("-rs", judged=verdict(gate("leaks", "not_applicable", "no isolation is checked")))
    result.assert_outcomes(passed=len(NAMES), skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*not applicable: no isolation is checked"])


def test_a_gate_that_the_verdict_lacks_does_not_pass(start: Start) -> None:
    judged = verdict()
    judged["gates"] = [one for one in judged["gates"] if one["name"] != "stall"]
    result = start(judged=judged)
    result.assert_outcomes(passed=len(NAMES), failed=1)
    result.stdout.fnmatch_lines(["The verdict has no gate stall."])


@pytest.mark.parametrize(
    ("judged", "exit_code", "words"),
    [
        (verdict(gate("mine", "fail", "by MUL_GATE"), status="fail"), 1, "The verdict is fail: mine."),
        (verdict(status="inconclusive"), 4, "The verdict is inconclusive: no gate could judge."),
        (verdict(complete=False, interrupted_in="migrate"), 4, "The run was cut short in phase migrate*"),
        (verdict(), 3, "locust ended with exit code 3."),
    ],
)
def test_what_no_gates_test_says_the_runs_test_does(
    judged: dict[str, Any], exit_code: int, words: str, start: Start
) -> None:
    result = start(judged=judged, exit_code=exit_code)
    result.assert_outcomes(passed=len(NAMES), failed=1)
    result.stdout.fnmatch_lines([words])


def test_a_run_without_a_verdict_fails_everything_and_shows_its_output(
    pytester: pytest.Pytester, start: Start
) -> None:
    stale = pytester.mkdir("runs") / "R0"
    stale.mkdir()
    (stale / "verdict.json").write_text(json.dumps(verdict()))
    (pytester.path / "runs" / "latest").symlink_to("R0")
    pytester.makepyfile(test_own="def test_own(migration_run): pass")
    result = start(exit_code=1)
    result.assert_outcomes(failed=1 + len(NAMES), errors=1)
    result.stdout.fnmatch_lines(["locust ended with exit code 1 and gave no verdict.", "what locust said*"])
    result.stdout.fnmatch_lines(["*ERROR at setup of test_own*", "*gave no verdict:", "what locust said*"])


def test_a_persons_test_looks_at_the_run_that_their_fixture_made_possible(
    pytester: pytest.Pytester, start: Start
) -> None:
    pytester.makeconftest(
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def migration_environment(): return {'SHOP': 'open'}"
    )
    pytester.makepyfile(
        test_own="""
        import sys, pytest
        pytestmark = pytest.mark.migration

        def test_own(migration_run):
            assert migration_run.verdict["status"] == "pass"
            assert (migration_run.directory / "verdict.json").is_file()
            assert migration_run.exit_code == 0
            assert "about open" in migration_run.output
        """
    )
    start("--strict-markers", judged=verdict()).assert_outcomes(passed=2 + len(NAMES))
    assert starts(pytester) == 1


def test_without_the_option_there_is_no_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own="def test_own(migration_run): pass\ndef test_other(): pass")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*needs --migration-plan FILE"])


def test_nothing_is_run_when_nothing_asks_for_it(pytester: pytest.Pytester, start: Start) -> None:
    pytester.makepyfile(test_own="def test_own(): pass")
    start("--collect-only").stdout.fnmatch_lines(["*<Function gate?slow?>*"])
    start("-m", "not migration").assert_outcomes(passed=1, deselected=1 + len(NAMES))
    assert starts(pytester) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--migration-plan", "nowhere.toml"), "*nowhere.toml cannot be read*"),
        (("--migration-plan", "wrong.toml"), "*no key usres. Did you mean users?*"),
        (("--migration-plan", "gate.toml"), "*p59*p95*"),
        (("--migration-plan", "right.toml"), "*--migration-locustfile FILE*"),
        (("--migration-locustfile", "x.py"), "*--migration-plan*"),
        (("--migration-plan", "right.toml", "-p", "xdist", "-n2"), "*-n0*"),
    ],
)
def test_bad_usage_is_one_line_before_any_test(
    pytester: pytest.Pytester, arguments: tuple[str, ...], words: str
) -> None:
    (pytester.path / "wrong.toml").write_text("[load]\nusres = 3")
    (pytester.path / "gate.toml").write_text("[verdict]\ngates = ['p59 < 1s']")
    (pytester.path / "right.toml").touch()
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])
    assert "Traceback" not in result.stderr.str()


def test_ctrl_c_ends_the_run_in_order(pytester: pytest.Pytester, start: Start) -> None:
    told(pytester, None, waits=True)
    pytester.makeconftest(STAND_IN_FOR_LOCUST)
    process = pytester.popen(
        [sys.executable, "-m", "pytest", "--migration-plan", "harness.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert wait_until((pytester.path / "waiting").exists, 20)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert (pytester.path / "in_order").exists()


def test_loading_the_plug_in_costs_a_foreign_project_nothing() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import harness.pytest_plugin; print(*set(sys.modules) - before)"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert sorted(shown.stdout.split()) == ["harness", "harness.pytest_plugin"]


def test_pytest_finds_the_plug_in_and_locust_stays_out(
    pytester: pytest.Pytester, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
    told(pytester, verdict())
    pytester.makeconftest(STAND_IN_FOR_LOCUST)
    pytester.makepyfile(
        test_own="import sys\ndef test_own(migration_run): assert not {'locust', 'gevent'} & set(sys.modules)"
    )
    result = pytester.runpytest_subprocess("--migration-plan", "harness.toml", "--timeout", "30")
    result.assert_outcomes(passed=2 + len(NAMES))
