"""Short locks on a busy table: wait briefly, let go, try again.

While DDL waits for ACCESS EXCLUSIVE everybody who comes later waits behind it, readers too. A short
`lock_timeout` bounds that queue; the pause between tries lets it drain.
"""

from __future__ import annotations

import time

from alembic import op
from sqlalchemy.exc import OperationalError

__all__ = ["gently"]

_LOCK_TIMEOUT = "500ms"
_TRIES = 20
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_LOCK_NOT_AVAILABLE = "55P03"


def gently(*statements: str) -> None:
    """Executes `statements` together, retrying with growing pauses when a lock is not to be had.

    In a savepoint, so that a failed try gives back the locks it did get; the transaction around it should
    hold none on busy tables. Raises OperationalError (55P03) after the last try.
    """
    pause_s = _FIRST_PAUSE_S
    for _ in range(_TRIES - 1):
        try:
            _try(statements)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            return
    _try(statements)


def _try(statements: tuple[str, ...]) -> None:
    with op.get_bind().begin_nested():
        op.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        for statement in statements:
            op.execute(statement)
