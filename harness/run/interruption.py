"""An interruption of the preparation: Ctrl-C or SIGTERM before the load, which must never be lost.

A signal handler's exception is raised wherever the main thread is. In a finaliser, a weak reference's
callback or a callback of gevent's hub it is printed and dropped ("Exception ignored in …", CPython's
`PyErr_WriteUnraisable`), and the run would go on as if nobody had asked it to end. So the steps ask as well.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.clock import Sleep

__all__ = ["Interruption"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Raises KeyboardInterrupt where a signal finds the main thread, in `check` where that was dropped."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have SIGINT and SIGTERM interrupt, for as long as this lasts, or at its end. Main thread only."""
        previous = {number: signal.signal(number, self._interrupt) for number in SIGNALS}
        try:
            yield
            self.check()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has asked for it, unless something is being undone already."""
        if self.asked and sys.exception() is None:
            self.asked = False
            raise KeyboardInterrupt

    def sleep(self, seconds: float, of: Sleep) -> None:
        """Sleep by `of`, then check."""
        of(seconds)
        self.check()

    def _interrupt(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt
