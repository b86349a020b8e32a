"""A migration whose harness was killed: nobody else is left who would end it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from harness.clock import Sleep, wait_until
from harness.db.migration import terminate_backends, try_to_terminate
from harness.db.url import DatabaseUrl

__all__ = ["end_orphan"]

GRACE_S = 2.0

log = logging.getLogger(__name__)


def end_orphan(root: int | None, url: DatabaseUrl, pids: Sequence[int], sleep: Sleep = time.sleep) -> None:
    """End what runs on: SIGINT to the session that the process `root` leads, then `pg_terminate_backend` for
    the backends `pids`, then SIGKILL.

    Left alone it would keep its locks for as long as it likes, and the next run would wait for them without
    being told why.
    """
    log.warning("The harness was killed: its migration is ended.")
    send = _sender(root)
    send(signal.SIGINT)
    wait_until(lambda: not send(0), GRACE_S, sleep)
    try_to_terminate(partial(terminate_backends, url), pids)
    wait_until(lambda: not send(0), GRACE_S, sleep)
    send(signal.SIGKILL)


def _sender(root: int | None) -> Callable[[int], bool]:
    """Sends a signal to the whole session; says whether there was anybody. 0 only asks."""

    def send(number: int) -> bool:
        if root is None:
            return False
        try:
            os.killpg(root, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    return send
