"""The observers' place in a run, one per database: started before the load, stopped before the services."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from harness.clock import Sleep
from harness.core.events import Kind
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.run.databases import Database
from harness.run.episode import Note
from harness.run.preparation import Prepared
from harness.store import part_of

__all__ = ["Observing", "observers_of"]

log = logging.getLogger("harness")


def observers_of(prepared: Prepared, zero: float) -> dict[str, ObserverChild]:
    """The observers of a prepared run by the keys of its databases, not yet started."""
    return {database.key: _observer_of(prepared, database, zero) for database in prepared.databases}


def _observer_of(prepared: Prepared, database: Database, zero: float) -> ObserverChild:
    """The processes and the log are those of the run's own server; another's log is asked for through SQL."""
    services, directory, key = prepared.services, prepared.directory, database.key
    part = directory.path / part_of(key) if key else directory.path
    part.mkdir(parents=True, exist_ok=True)
    order = Order(
        directory=part,
        url=database.url,
        zero=zero,
        log=str(services.server.log) if services.server and not key else None,
        processes={"generator": os.getpid(), **services.pids()} if not key else {},
        application=f"mul-migration {directory.run_id}"[:63],
        replica=services.replica_url if not key else None,
    )
    return ObserverChild(order, directory.log(f"observer-{key}" if key else "observer"))


class Observing:
    """Looks after the observers by the keys of their databases; a death is an event of the run, said once."""

    def __init__(self, children: Mapping[str, ObserverChild], note: Note) -> None:
        self._children = dict(children)
        self._note = note
        self._died: set[str] = set()

    def start(self) -> None:
        """Start them."""
        for child in self._children.values():
            child.start()

    def look(self) -> str:
        """See whether they live; what they last saw, in a few words."""
        return ", ".join(filter(None, (self._look(*one) for one in self._children.items())))

    def _look(self, key: str, child: ObserverChild) -> str:
        why = child.died
        if why and key not in self._died:
            self._died.add(key)
            self._note(Kind.OBSERVER_DIED, why=why, **({"database": key} if key else {}))
            of = f" of the database of {key}" if key else ""
            unknown = "who waited for which lock is not known from here on"
            log.warning("The observer%s died (%s): %s.", of, why, unknown)
        return "" if why else child.says()

    def migrating(self, database: str, running: bool, pids: Sequence[int]) -> None:
        """Say that a migration of that database runs, or that it ended, and which backends are its."""
        if database in self._children:
            self._children[database].migrating(running, pids)

    def backends(self, database: str) -> dict[int, str]:
        """The backends of that database that are seen to be the migration's, and by what."""
        return self._children[database].backends() if database in self._children else {}

    def measure(self, name: str, pid: int, database: str = "") -> None:
        """Have a process measured, which the observer of the database where it works has to know, too."""
        for key in dict.fromkeys(("", database)):
            if key in self._children:
                self._children[key].measure(name, pid)

    def stop(self, sleep: Sleep) -> None:
        """Have them write what is left, in bounded time."""
        self.look()
        for child in self._children.values():
            child.stop(sleep)
