"""A halt at one statement, for somebody who kills the migration just there.

`MUL_TRACE_HALT` is `STEP N POINT`. STEP is `migration`, a statement of a revision, or `version`, a write to
Alembic's version table; N counts those of that kind from 1, each execution for itself. POINT is `before` (the
statement is not sent) or `during` (it is sent; once it is answered nothing follows). The process then does
nothing until it is killed; one that nobody kills within `MUL_TRACE_HALT_S` seconds (60) ends by itself, which
the server takes for a rollback.
"""

from __future__ import annotations

import os
import time
from typing import Any

from .channel import emit
from .sql import masked

__all__ = ["after", "before", "counts", "sent"]

WAITS_S = 60.0
PROBES = ("show transaction isolation level", "show standard_conforming_strings")
"""What SQLAlchemy asks when it connects, perhaps in the middle of a revision."""
WRITES = ("insert", "update", "delete")

_sleep = time.sleep  # as it is before a library replaces it by one that lets others run
_counted = {"migration": 0, "version": 0}


def _asked() -> tuple[str, int, str] | None:
    try:
        step, number, point = os.environ.get("MUL_TRACE_HALT", "").split()
        return step, int(number), point
    except ValueError:
        return None


_halt = _asked()


def counts() -> bool:
    """Whether each statement counts for itself, so that repeats may not be summed up."""
    return "MUL_TRACE_HALT" in os.environ


def before(call: Any, backend: int) -> None:
    """Call before a statement is sent: does not return from the one before which it halts."""
    if _halt is None or not _is_of(call, _halt[0]):
        return
    _counted[_halt[0]] += 1
    if _counted[_halt[0]] == _halt[1]:
        call.halts = _halt[2]
        if call.halts == "before":
            _say("before", call, backend)
            _wait()


def sent(call: Any, backend: int) -> None:
    """Call when the statement is about to be sent, and that is on record."""
    if call.halts == "during":
        _say("during", call, backend)


def after(call: Any, backend: int) -> None:
    """Call when it was answered, and that is on record: does not return from the one at which it halts."""
    if call.halts == "during":
        _say("answered", call, backend)
        _wait()


def _is_of(call: Any, step: str) -> bool:
    text = call.sql.strip().lower()
    if call.command is not None or call.prepare or call.place.step != step or text in PROBES:
        return False
    return step == "migration" or text.startswith(WRITES)


def _say(point: str, call: Any, backend: int) -> None:
    place, sql = call.place, masked(call.sql[:2000])
    emit("halt", point=point, step=place.step, revision=place.revision, sql=sql, k=call.k, backend=backend)


def _wait() -> None:
    until = time.monotonic() + float(os.environ.get("MUL_TRACE_HALT_S", WAITS_S))
    while time.monotonic() < until:
        _sleep(0.05)
    emit("halt", point="given_up")
    os._exit(1)
