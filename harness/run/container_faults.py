"""Drills on a database in a container: its network, its share of the machine, the room on its disk."""

from __future__ import annotations

from harness.clock import Sleep
from harness.core.drills import LIMITED_CORES
from harness.errors import SetupError
from harness.run.drills import Noted
from harness.run.faults import BACK_WITHIN_S, KeptUp, Measure, TakenDown
from harness.run.postgres_container import ContainerServer
from harness.run.services import Services, end_of_log

__all__ = ["DisconnectDatabase", "FillDisk", "LimitCpu"]


class DisconnectDatabase(KeptUp):
    """Takes the container off its network: connections are cut, and new ones refused."""

    def __init__(self, noted: Noted, server: ContainerServer) -> None:
        super().__init__(noted)
        self._server = server

    def _strike(self) -> None:
        self._server.disconnect()

    def _undo(self) -> None:
        self._server.connect()


class LimitCpu(KeptUp):
    """Leaves the container hardly any CPU."""

    def __init__(self, noted: Noted, server: ContainerServer) -> None:
        super().__init__(noted)
        self._server = server

    def _strike(self) -> None:
        self._server.limit_cpu(LIMITED_CORES)

    def _undo(self) -> None:
        self._server.limit_cpu(None)


class FillDisk(TakenDown):
    """Fills the disk of the data. A server that cannot write its log ends (PANIC) and cannot recover until
    there is room again; then it is started, for nobody else does it.
    """

    def __init__(
        self, noted: Noted, services: Services, server: ContainerServer, measure: Measure, sleep: Sleep
    ) -> None:
        super().__init__(noted, services, measure, sleep)
        self._server = server
        self._until_s = self.drill.seconds
        self._freed = False

    @property
    def within_s(self) -> float:
        """Its own time, and then some."""
        return self.drill.seconds + BACK_WITHIN_S

    def _take_down(self) -> None:
        self._server.fill_disk()

    def _is_over(self) -> bool:
        if self.lasted_s < self._until_s:
            return False
        if not self._freed:
            self._server.free_disk()
            self._freed = True
        if self._server.alive():
            self._seen.setdefault("server_ended", False)
            return self._server.answers()
        if self._started:
            raise SetupError(f"PostgreSQL did not start again: {end_of_log(self._server.log, 3)}")
        self._seen["server_ended"] = True
        self._server.launch()
        self._started = True
        if self._server.pid is not None:
            self._measure("postgresql", self._server.pid)
        return False

    def _undo(self) -> None:
        self._until_s = 0.0
        super()._undo()
