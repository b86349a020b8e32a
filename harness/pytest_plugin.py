"""`pytest --migration-plan harness.toml`: one run, and one test for each gate of its verdict.

pytest loads this module wherever the package is installed, so it imports nothing but pytest until the option
is given. Locust it never imports: that patches the standard library of whoever does. The run is a process of
its own, started once, by the first test that asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.core.plan_file import PlanFile
    from harness.run.locust_process import Outcome

__all__ = ["MigrationRun"]

JUDGED = (0, 1, 4)
"""Exit codes of a run that came to its verdict: pass, fail, inconclusive."""

LINES = 30
"""How much of the run's output an error shows."""


@dataclass(frozen=True)
class MigrationRun:
    """A judged run, as the fixture `migration_run` gives it: its files, and its `verdict.json`."""

    directory: Path
    verdict: Mapping[str, Any] = field(repr=False)
    exit_code: int
    output: str = field(repr=False)


# the options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--migration-plan` and `--migration-locustfile`."""
    group = parser.getgroup("migration under load")
    group.addoption(
        "--migration-plan",
        metavar="FILE",
        help="run the migration of this plan file under load, and test each gate of its verdict",
    )
    group.addoption(
        "--migration-locustfile",
        metavar="FILE",
        help="the users that drive the service; default: the plan file's, or locustfile.py",
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse what would make the run worthless."""
    config.addinivalue_line("markers", "migration: looks at the run of --migration-plan")
    if config.option.migration_plan is None:
        if config.option.migration_locustfile is not None:
            raise pytest.UsageError("--migration-locustfile needs --migration-plan FILE.")
        return
    if config.getoption("numprocesses", None) or config.getoption("tx", None):
        raise pytest.UsageError(
            "--migration-plan measures latencies, and tests in other processes would disturb it: add -n0."
        )


# the tests


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Put the tests of the run before all others; `-k`, `-m` and `--deselect` apply to them too."""
    report = yield
    if isinstance(collector, pytest.Session) and collector.config.option.migration_plan is not None:
        report.result.insert(0, _gates(collector))
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lift pytest-timeout's limit from the tests that wait for the run, whichever comes first: the phases of
    the run decide how long it takes.
    """
    if config.option.migration_plan is None or not config.pluginmanager.hasplugin("timeout"):
        return
    for item in items:
        waits = {"migration_run", "_migration_outcome"} & set(getattr(item, "fixturenames", ()))
        if waits and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(0))


class MigrationGates(pytest.Module):
    """The plan file as a collector: `run` tests that there was one, `gate[NAME]` each gate."""

    names: Sequence[str] = ()

    def collect(self) -> Iterator[pytest.Function]:
        """The tests, each of which waits for the one run."""
        tests = {"run": _run_test(self.names), **{f"gate[{name}]": _gate_test(name) for name in self.names}}
        for name, test in tests.items():
            item = pytest.Function.from_parent(self, name=name, callobj=test)
            item.add_marker("migration")
            yield item


def _gates(session: pytest.Session) -> MigrationGates:
    from harness.errors import HarnessError

    gates = MigrationGates.from_parent(session, path=Path(session.config.option.migration_plan).absolute())
    gates.obj = sys.modules[__name__]
    try:
        gates.names = _gate_names(_plan_file(session.config))
        _locustfile(session.config)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    return gates


def _plan_file(config: pytest.Config) -> PlanFile:
    from harness.run.plan_file import read_plan_file

    return read_plan_file(config.option.migration_plan)


def _locustfile(config: pytest.Config) -> str:
    from harness.errors import UsageError
    from harness.run.locust_process import locustfile_of

    file = _plan_file(config)
    found = locustfile_of(config.option.migration_locustfile, file.locustfile)
    if found is None:
        raise UsageError(
            f"{file.path} names no locustfile, and there is no locustfile.py.",
            "Write [load] locustfile, or give --migration-locustfile FILE.",
        )
    return found


def _gate_names(file: PlanFile) -> list[str]:
    """The built-in gates and the file's own, without those it leaves out: what is known before the run."""
    from harness.core.expressions import parse
    from harness.core.gates import BUILT_IN
    from harness.core.plan import Plan

    asked = Plan(
        downgrade=file.defaults.get("downgrade"),
        invariants=tuple(file.defaults.get("invariant", ())),
        migrations=tuple(entry for entry, _ in file.entries),
    )
    written = [parse(text) for text in file.defaults.get("gate", ())]
    names = [gate.name for row in BUILT_IN for gate in row.make(asked)]
    names += [own or expression.text for own, expression in written]
    return [name for name in dict.fromkeys(names) if name not in file.defaults.get("no_gate", ())]


def _run_test(names: Sequence[str]) -> Callable[..., None]:
    def run(_migration_outcome: Outcome, request: pytest.FixtureRequest) -> None:
        problem = _problem(_migration_outcome, names)
        if problem:
            _fail(problem, request, _migration_outcome)

    return run


def _gate_test(name: str) -> Callable[..., None]:
    def gate(_migration_outcome: Outcome, request: pytest.FixtureRequest) -> None:
        status, why = _judged(name, _migration_outcome)
        if status == "not_applicable":
            pytest.skip(why)
        if status != "pass":
            _fail(why, request, _migration_outcome)

    return gate


def _problem(outcome: Outcome, names: Sequence[str]) -> str:
    """What is wrong with the run itself, beside what the tests of its gates say; "" if nothing."""
    verdict = outcome.verdict
    if verdict is None:
        return f"locust ended with exit code {outcome.exit_code} and gave no verdict."
    if not verdict["complete"]:
        where = verdict["interrupted_in"]
        return (
            f"The run was cut short{f' in phase {where}' if where else ''} (exit code {outcome.exit_code})."
        )
    if outcome.exit_code not in JUDGED:
        return f"locust ended with exit code {outcome.exit_code}."
    bad = [gate["name"] for gate in verdict["gates"] if gate["status"] in ("fail", "inconclusive")]
    untested = [name for name in bad if name not in names]
    if untested or (verdict["status"] != "pass" and not bad):
        return f"The verdict is {verdict['status']}: {', '.join(untested) or 'no gate could judge'}."
    return ""


def _judged(name: str, outcome: Outcome) -> tuple[str, str]:
    """The worst status among the gates called `name`, one for each migration and phase, and why."""
    if outcome.verdict is None:
        return "inconclusive", f"There is no verdict: locust ended with exit code {outcome.exit_code}."
    gates = [gate for gate in outcome.verdict["gates"] if gate["name"] == name]
    for status in ("fail", "inconclusive", "pass", "not_applicable"):
        found = [gate for gate in gates if gate["status"] == status]
        if found:
            return status, "\n".join(map(_told, found))
    return "inconclusive", f"The verdict has no gate {name}."


def _told(gate: Mapping[str, Any]) -> str:
    from harness.report.words import amount, pair

    if gate["status"] == "not_applicable":
        return f"not applicable: {gate['why']}"
    observed, limit = pair(gate["observed"], gate["limit"], gate["unit"])
    numbers = f"observed {observed}, limit {limit}, samples {amount(gate['samples'])}"
    lines = (f"{gate['name']}: {gate['status']}", gate["expression"], numbers, gate["why"])
    return "\n  ".join(filter(None, lines))


def _fail(why: str, request: pytest.FixtureRequest, outcome: Outcome) -> None:
    """Fail in words alone; the first failure of the session shows what the run printed."""
    if outcome.directory is not None:
        why += f"\nreport: {outcome.directory / 'report.html'}"
    if not request.config.stash.get(_SHOWN, False):
        request.config.stash[_SHOWN] = True
        request.node.add_report_section("call", "output of locust", _end_of(outcome.output))
    pytest.fail(why, pytrace=False)


_SHOWN = pytest.StashKey[bool]()


def _end_of(output: str) -> str:
    lines = output.splitlines()
    return "\n".join(["…", *lines[-LINES:]] if len(lines) > LINES else lines)


# the fixtures


@pytest.fixture(scope="session")
def migration_environment() -> Mapping[str, str]:
    """Environment variables of the run. Override it in the top conftest.py to start what the run needs first:
    a service, a database whose URL is MUL_DATABASE_URL.
    """
    return {}


@pytest.fixture(scope="session")
def migration_run(request: pytest.FixtureRequest) -> MigrationRun:
    """The judged run of `--migration-plan`; without that option, a test that asks for it is skipped."""
    if request.config.option.migration_plan is None:
        pytest.skip("needs --migration-plan FILE")
    outcome: Outcome = request.getfixturevalue("_migration_outcome")
    if outcome.directory is None or outcome.verdict is None:
        why = f"locust ended with exit code {outcome.exit_code} and gave no verdict"
        pytest.fail(f"{why}:\n{_end_of(outcome.output)}", pytrace=False)
    return MigrationRun(outcome.directory, outcome.verdict, outcome.exit_code, outcome.output)


@pytest.fixture(scope="session")
def _migration_outcome(pytestconfig: pytest.Config, migration_environment: Mapping[str, str]) -> Outcome:
    """The run, however it ended."""
    from harness.environ import variable
    from harness.run.locust_process import conduct, run_command

    file = _plan_file(pytestconfig)
    root = variable("MUL_RUN_DIR") or file.defaults.get("run_dir", "runs")
    command = run_command(_locustfile(pytestconfig), "--plan", file.path)
    terminal = pytestconfig.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal.ensure_newline()
        terminal.write_line(f"harness run {' '.join(command[4:])} --run-dir {root}")
    return conduct(command, root, migration_environment)
