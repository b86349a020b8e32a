"""PostgreSQL's timeouts as people write them, and whether those of one migration go together."""

from __future__ import annotations

import re

from harness.core.durations import format_duration
from harness.errors import UsageError

__all__ = ["check_timeouts", "timeout_s"]

_TIMEOUT = re.compile(r"(\d+) ?(us|ms|s|min|h|d)?")

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""https://www.postgresql.org/docs/current/config-setting.html; a bare number of a timeout is milliseconds."""


def timeout_s(text: str, name: str = "timeout") -> float:
    """Seconds in a timeout as PostgreSQL writes it; 0 is none. Raises UsageError, naming the flag `name`.

    >>> [timeout_s(text) for text in ("500ms", "2 s", "250")]
    [0.5, 2.0, 0.25]
    """
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise UsageError(f"{name} is {text!r}.", "Write it as PostgreSQL does: 500ms, 2s, 1min; 0 is none.")
    return int(found[1]) * _UNITS[found[2] or "ms"]


def check_timeouts(lock: str | None, statement: str | None, deadline_s: float) -> None:
    """Raise UsageError, naming the flag, for what PostgreSQL does not take or what cannot be reached.

    A `lock_timeout` that is no shorter than the `statement_timeout` never ends anything ("rather pointless",
    https://www.postgresql.org/docs/current/runtime-config-client.html), so no retry would follow it either.
    """
    lock_s = timeout_s(lock, "--lock-timeout") if lock is not None else 0.0
    statement_s = timeout_s(statement, "--statement-timeout") if statement is not None else 0.0
    if 0 < statement_s <= lock_s:
        raise UsageError(
            f"--lock-timeout {lock} is not shorter than --statement-timeout {statement}: the statement would"
            " be cancelled before it gave up its wait for a lock.",
            "Lower the first or raise the second.",
        )
    if deadline_s <= lock_s:
        raise UsageError(
            f"--migration-deadline {format_duration(deadline_s)} is over before --lock-timeout {lock} could"
            " end the wait for a lock.",
            "Raise the first or lower the second.",
        )
