"""A revision of the catalogue, upgraded to by a real migration child and recorded as a run is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.clock import monotonic, utc_now
from harness.core.events import Event, Kind
from harness.core.plan import Plan
from harness.core.record import Record
from harness.db.catalog import read_schema
from harness.db.migration import MigrationChild, MigrationOrder, read_relfilenodes, terminate_backends
from harness.db.migrator import DatabaseMigrator
from harness.db.observer_child import ObserverChild
from harness.db.observer_order import Order
from harness.db.url import DatabaseUrl
from harness.run.migration_episode import MigrationEpisode
from harness.store import RunDirectory
from harness.stored_record import read_record
from tests.catalogue.cases import FOLDER

__all__ = ["Upgrade"]

INI = FOLDER / "alembic.ini"
ENDS_WITHIN_S = 60.0


class Upgrade:
    """One upgrade of `database` to `revision`, in a run directory below `root`.

    The migration pauses at the turnstile after the statement that begins like `pause_after`, if one is given.
    """

    def __init__(
        self, database: str, revision: str, root: Path, ini: Path = INI, pause_after: str | None = None
    ) -> None:
        self.database = database
        self.url = DatabaseUrl.parse(database)
        self.revision = revision
        self.ini = ini
        self.zero = monotonic()
        self.directory = RunDirectory.create(Plan(run_root=str(root)), utc_now())
        self._order = MigrationOrder(
            direction="upgrade",
            target=revision,
            alembic_config=ini,
            run_id=revision,
            trace_file=self.directory.path / "logs" / "migration.trace",
            log_file=self.directory.log("migration"),
            environment={
                "MUL_DATABASE_URL": database,
                **({"PAUSE_AFTER": pause_after} if pause_after else {}),
            },
        )
        self.note(Kind.RUN_START, 0.0, run_id=self.directory.run_id, monotonic=self.zero)

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        """Write an event; returns its instant."""
        at = monotonic() - self.zero if at is None else at
        self.directory.append_event(Event(at, kind, data))
        return at

    def observer(self, log: Path) -> ObserverChild:
        """An observer of this upgrade, not started; `log` is the server's."""
        application = self._order.application_name
        order = Order(self.directory.path, self.database, self.zero, str(log), {}, application)
        return ObserverChild(order, self.directory.log("observer"))

    def run(
        self,
        observe: Callable[..., object] = lambda *_: None,
        meanwhile: Callable[[MigrationEpisode], object] = lambda _: None,
    ) -> str:
        """Upgrade, calling `meanwhile` every 20 ms; returns how it ended."""
        episode = self._episode(observe)
        episode.begin()
        try:
            while not episode.ended:
                time.sleep(0.02)
                episode.step()
                meanwhile(episode)
        finally:
            episode.abort()
            self.directory.close()
        return episode.status

    def record(self) -> Record:
        """What was recorded, read back."""
        return read_record(self.directory.path)

    def _episode(self, observe: Callable[..., object]) -> MigrationEpisode:
        return MigrationEpisode(
            1,
            "upgrade",
            self.revision,
            child=lambda _: MigrationChild(self._order),
            terminate=lambda pids: terminate_backends(self.url, pids),
            revisions=DatabaseMigrator(self.database, alembic_config=self.ini).current,
            resolve=lambda: (self.revision,),
            relfilenodes=lambda: read_relfilenodes(self.url),
            read_schema=self._read_schema,
            observe=observe,
            note=self.note,
            announce=lambda *_, **__: None,
            zero=self.zero,
            sleep=time.sleep,
            retries=0,
            deadline_s=ENDS_WITHIN_S,
        )

    def _read_schema(self, when: str) -> None:
        state = read_schema(self.url, monotonic() - self.zero)
        self.directory.write_json(f"catalog_{when}.json", asdict(state))
