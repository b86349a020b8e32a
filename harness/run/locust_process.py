"""A run as the person would start it: `locust -f … --headless` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.environ import variable

__all__ = ["locustfile_of", "print_plan", "run_command"]

DEFAULT_LOCUSTFILE = "locustfile.py"

ANY_USER = """from harness.locust import MigrationUser


class AnyUser(MigrationUser):
    websocket_path = "/ws"
"""
"""Stands in for a locustfile that is not there yet: its user records all that a user can."""


def run_command(locustfile: str, *arguments: str) -> list[str]:
    """The command line of a run; `-P`, so that nothing in the working folder is taken for Locust."""
    return [sys.executable, "-P", "-m", "locust", "-f", locustfile, "--headless", *arguments]


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
