"""A run as the person would start it: `harness run -f … --headless`, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.environ import child_environment, variable

__all__ = ["Outcome", "conduct", "locust_command", "locustfile_of", "print_plan", "run_command"]

DEFAULT_LOCUSTFILE = "locustfile.py"

ANY_USER = """from harness.locust import MigrationUser, Stream


class AnyUser(MigrationUser):
    stream = Stream("/ws")
"""
"""Stands in for a locustfile that is not there yet: its user records all that a user can."""

END_WITHIN = ((signal.SIGINT, 120.0), (signal.SIGTERM, 20.0), (signal.SIGKILL, None))
"""How a run is ended, and how many seconds each way may take: in order it stops its children and judges."""


@dataclass(frozen=True)
class Outcome:
    """A run that has ended. `directory` and `verdict` are None where it did not come so far."""

    exit_code: int
    output: str = field(repr=False)
    directory: Path | None = None
    verdict: Mapping[str, Any] | None = field(default=None, repr=False)


def locust_command(flags: Sequence[str]) -> list[str]:
    """The command line of Locust with the harness in it.

    `-P`: nothing in the working folder, such as an `email.py` or a `harness/`, shadows a library.
    """
    return [sys.executable, "-P", "-m", "harness.plug_in", *flags]


def run_command(locustfile: str, *arguments: str) -> list[str]:
    """The command line of a run, of any locustfile."""
    return locust_command(["-f", locustfile, "--headless", *arguments])


def locustfile_of(given: str | None, planned: str | None) -> str | None:
    """The locustfile `given`, else that of LOCUST_LOCUSTFILE or the plan file, else Locust's own default.

    None when that does not exist either.
    """
    named = given or variable("LOCUST_LOCUSTFILE") or planned
    if named is not None:
        return named
    return DEFAULT_LOCUSTFILE if Path(DEFAULT_LOCUSTFILE).is_file() else None


def print_plan(locustfile: str | None, flags: Sequence[str], say: Callable[[str], None]) -> int:
    """Have a run print its plan and end, touching nothing; returns its exit code.

    What users record depends on the locustfile; without one, the plan is that of a user who records all.
    """
    quietly = ("--dry-run", "--loglevel", "WARNING", *flags)
    if locustfile is not None:
        return subprocess.run(run_command(locustfile, *quietly), check=False).returncode
    say("no locustfile is named: ledger, isolation and websocket are those of a MigrationUser that has all")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "any_user.py")
        file.write_text(ANY_USER, encoding="utf-8")
        return subprocess.run(run_command(str(file), *quietly), check=False).returncode


def conduct(command: Sequence[str], run_root: str, environment: Mapping[str, str]) -> Outcome:
    """Start a run that makes its directory in `run_root`, and wait for its end.

    It has a session of its own: a Ctrl-C reaches this process alone, which has the run end in order.
    """
    latest = Path(run_root, "latest")
    before = latest.resolve()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command, "--run-dir", run_root],
            env=_unpatched(child_environment(environment)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            exit_code = process.wait()
        except BaseException:
            _end(process)
            raise
        output.seek(0)
        said = output.read().decode(errors="replace")
    directory = None if latest.resolve() == before else Path(run_root, latest.resolve().name)
    return Outcome(exit_code, said, directory, _verdict(directory) if directory is not None else None)


def _unpatched(environment: dict[str, str]) -> dict[str, str]:
    """Without what keeps Locust from patching the standard library of its caller: a run needs it patched."""
    return {name: value for name, value in environment.items() if name != "LOCUST_SKIP_MONKEY_PATCH"}


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, within_s in END_WITHIN:
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(within_s)
            except subprocess.TimeoutExpired:
                continue


def _verdict(directory: Path) -> Mapping[str, Any] | None:
    file = directory / "verdict.json"
    if not file.is_file():
        return None
    verdict: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return verdict
