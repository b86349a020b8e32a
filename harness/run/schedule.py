"""Which drills a run has, when each has its turn, and what each is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from harness.clock import Sleep
from harness.core.drills import Drill
from harness.core.events import Kind
from harness.db.clients import read_left_open
from harness.db.local_server import LocalServer
from harness.db.url import DatabaseUrl
from harness.errors import SetupError
from harness.run.container_faults import DisconnectDatabase, FillDisk, LimitCpu
from harness.run.deploy import next_release
from harness.run.drilling import Drilling, Planned, When
from harness.run.drills import Note, Noted
from harness.run.episode import EpisodeRun
from harness.run.faults import (
    Dropper,
    DropWebSockets,
    ExpireTokens,
    Fault,
    KillCache,
    KillService,
    PauseDatabase,
    RestartDatabase,
    TerminateBackends,
)
from harness.run.hold_reader import HoldReader
from harness.run.postgres_container import ContainerServer
from harness.run.preparation import Prepared
from harness.run.releases import NEXT, AfterMigration, BeforeMigration, Releases
from harness.run.services import Target

__all__ = ["OLD_S", "Tools", "drilling_of"]

OLD_S = 5.0
"""A transaction that is older than this when the recovery is over was left by somebody."""


@dataclass(frozen=True)
class Tools:
    """What drills work with. `backends` are the migration's sessions, `measure` tells the observer of a
    process that took another's place.
    """

    prepared: Prepared
    note: Note
    load: Dropper
    backends: Callable[[], Sequence[int]]
    measure: Callable[[str, int], object]
    sleep: Sleep

    @property
    def server(self) -> LocalServer:
        """The server that the harness started."""
        if self.prepared.services.server is None:
            raise SetupError("The harness did not start that PostgreSQL.")
        return self.prepared.services.server

    @property
    def container(self) -> ContainerServer:
        """The same, in a container."""
        if not isinstance(self.prepared.services.server, ContainerServer):
            raise SetupError("The harness did not start that PostgreSQL in a container.")
        return self.prepared.services.server

    @property
    def target(self) -> Target:
        """How the reference service is started."""
        if self.prepared.services.target is None:
            raise SetupError("The harness did not start that service.")
        return self.prepared.services.target

    @property
    def url(self) -> DatabaseUrl:
        """The run's own database."""
        if self.prepared.services.database_url is None:
            raise SetupError("The run is given no database.")
        return DatabaseUrl.parse(self.prepared.services.database_url)


def drilling_of(tools: Tools, episodes: Sequence[EpisodeRun]) -> Drilling:
    """The drills of the run, those left out that shape the migration's own process."""
    drills = enumerate(tools.prepared.plan.planned_drills, 1)
    notes = (Noted(number, drill, tools.note) for number, drill in drills)
    return Drilling([planned for noted in notes for planned in _planned(noted, tools, episodes)])


def _planned(noted: Noted, tools: Tools, episodes: Sequence[EpisodeRun]) -> Iterator[Planned]:
    if noted.drill.name == "hold-reader":
        upgrade = episodes[0]
        yield Planned(
            HoldReader(
                noted,
                DatabaseUrl.parse(tools.prepared.steps[0].url),
                lambda: upgrade.first_statement_at is not None,
                lambda: upgrade.ended,
            ),
            "beside",
        )
    elif noted.drill.name == "old-code-new-schema":
        directory = tools.prepared.directory
        releases = Releases(
            noted,
            tools.prepared.services,
            f"releases-{directory.run_id}"[:90],
            directory.log("service-next"),
            tools.prepared.undo,
            next_release(tools.prepared.steps[0].plan, of_others=NEXT),
        )
        yield Planned(BeforeMigration(releases), "before")
        yield Planned(AfterMigration(releases), "after")
    elif noted.drill.known.family == "fault":
        fault = _fault(noted, tools)
        yield Planned(fault, _turn(noted.drill), lambda: _look(fault, noted, tools))


def _turn(drill: Drill) -> When:
    return "after" if drill.has_own_phase else "migrate"


def _fault(noted: Noted, tools: Tools) -> Fault:
    services = tools.prepared.services
    match noted.drill.name:
        case "restart-database":
            return RestartDatabase(noted, services, tools.server, tools.measure, tools.sleep)
        case "pause-database":
            return PauseDatabase(noted, tools.server)
        case "disconnect-database":
            return DisconnectDatabase(noted, tools.container)
        case "limit-cpu":
            return LimitCpu(noted, tools.container)
        case "fill-disk":
            return FillDisk(noted, services, tools.container, tools.measure, tools.sleep)
        case "terminate-backends":
            return TerminateBackends(noted, tools.url, tools.backends)
        case "drop-websockets":
            return DropWebSockets(noted, tools.load)
        case "kill-service":
            return KillService(noted, services, tools.measure, tools.sleep)
        case "kill-cache":
            return KillCache(noted, services, tools.measure, tools.sleep)
        case "expire-tokens":
            return ExpireTokens(noted, tools.target)
    raise ValueError(f"nobody performs the drill {noted.drill.name}")


def _look(fault: Fault, noted: Noted, tools: Tools) -> None:
    """Write down what clients have open, where there is a database to ask."""
    if tools.prepared.services.database_url is None:
        return
    try:
        found = asdict(read_left_open(tools.url, OLD_S, fault.lasted_s))
    except SetupError as error:
        found = {"unread": str(error)}
    tools.note(Kind.DRILL_LEFT, drill=noted.number, **found)
