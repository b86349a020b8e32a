"""What the harness tells the person who made a mistake.

    HarnessError             message + remedy, an exit code
    ├── UsageError       2   a flag, a plan, a gate or a file is wrong
    ├── SetupError       2   something the run needs cannot be had: a database, a service, a program
    ├── GuardError       3   a safety guard refuses; the remedy names the flag that allows it
    └── NothingToMigrate 4   the database already is where the migration would take it

No message carries a secret: whoever raises one masks URLs first.
"""

from __future__ import annotations

__all__ = ["CRASHED", "GuardError", "HarnessError", "NothingToMigrate", "SetupError", "UsageError"]

CRASHED = 1
"""Exit code where the harness itself failed; there is no verdict then."""


class HarnessError(Exception):
    """`message` says what was tried and found, `remedy` how to mend it; both are sentences for a person."""

    exit_code = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(HarnessError):
    """A flag, a plan, a gate expression or a file of the person's is wrong."""


class SetupError(HarnessError):
    """Something the run needs cannot be had: a database that answers, a healthy service, a program."""


class GuardError(HarnessError):
    """A safety guard refuses to touch something the harness did not start."""

    exit_code = 3


class NothingToMigrate(HarnessError):  # noqa: N818 - a finding about the database, not a fault
    """The database already is at the revision the migration would reach."""

    exit_code = 4
