"""The observer child's place in a run: started before the load, stopped before the services are."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from harness.clock import Sleep
from harness.core.events import Kind
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.run.episode import Note
from harness.run.preparation import Prepared

__all__ = ["Observing", "observer_of"]

log = logging.getLogger("harness")


def observer_of(prepared: Prepared, zero: float) -> ObserverChild | None:
    """The observer of a prepared run, not yet started; None for a run without a database."""
    services, directory = prepared.services, prepared.directory
    if services.database_url is None:
        return None
    order = Order(
        directory=directory.path,
        url=services.database_url,
        zero=zero,
        log=str(services.server.log) if services.server else None,
        processes={"generator": os.getpid(), **services.pids()},
        application=f"mul-migration {directory.run_id}"[:63],
    )
    return ObserverChild(order, directory.log("observer"))


class Observing:
    """Looks after the observer, where there is one; its death is an event of the run, said once."""

    def __init__(self, child: ObserverChild | None, note: Note) -> None:
        self._child = child
        self._note = note
        self._died = False

    def start(self) -> None:
        """Start it."""
        if self._child is not None:
            self._child.start()

    def look(self) -> str:
        """See whether it lives; what it last saw, in a few words."""
        if self._child is None:
            return ""
        why = self._child.died
        if why and not self._died:
            self._died = True
            self._note(Kind.OBSERVER_DIED, why=why)
            log.warning("The observer died (%s): who waited for which lock is not known from here on.", why)
        return "" if why else self._child.says()

    def migrating(self, running: bool, pids: Sequence[int]) -> None:
        """Say that the migration runs, or that it ended, and which backends are its."""
        if self._child is not None:
            self._child.migrating(running, pids)

    def backends(self) -> dict[int, str]:
        """The backends that are seen to be the migration's, and by what."""
        return {} if self._child is None else self._child.backends()

    def measure(self, name: str, pid: int) -> None:
        """Have a process measured."""
        if self._child is not None:
            self._child.measure(name, pid)

    def stop(self, sleep: Sleep) -> None:
        """Have it write what is left, in bounded time."""
        self.look()
        if self._child is not None:
            self._child.stop(sleep)
