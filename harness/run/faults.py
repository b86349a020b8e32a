"""Drills on the service and its database: each breaks one thing, and sees that it is whole again.

What of it the harness does itself is done here (it starts again what it stopped, as a supervisor would); how
the clients came through is judged afterwards from what they recorded (`core/recovery.py`).
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from harness.clock import Sleep, monotonic, wait_until
from harness.core.drills import Drill
from harness.db.clients import end_clients
from harness.db.local_server import LocalServer
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError, SetupError
from harness.run.cache import CacheServer
from harness.run.drills import Noted
from harness.run.services import Services, Target, end_of_log, end_process

__all__ = [
    "DropWebSockets",
    "Dropper",
    "ExpireTokens",
    "Fault",
    "KeptUp",
    "KillCache",
    "KillService",
    "Measure",
    "PauseDatabase",
    "RestartDatabase",
    "TakenDown",
    "TerminateBackends",
]

BACK_WITHIN_S = 60.0
"""How long what was stopped may take to answer again before the drill gives it up."""

SHUTDOWN_WITHIN_S = 10.0
"""How long a fast shutdown may take before it becomes an immediate one."""

UNDO_WITHIN_S = 15.0
"""How long a run that is ended in the middle of a drill waits for what it started again."""

DROPPED_WITHIN_S = 5.0

Measure = Callable[[str, int], object]
"""Tells the observer which process bears a name from now on: `measure(name, pid)`."""


class Dropper(Protocol):
    """Whoever holds the WebSockets (`harness/load`)."""

    def drop_websockets(self) -> Callable[[], int | None]:
        """Drop them all without a word; what is returned says how many, None until that is known."""


class Fault:
    """What all of them have in common; a kind says how it strikes, when it is over, and how it is undone."""

    breaks = False
    """Whether it takes something down that has to come back."""

    def __init__(self, noted: Noted) -> None:
        self.ended = False
        self._noted = noted
        self._began: float | None = None
        self._seen: dict[str, Any] = {}

    @property
    def drill(self) -> Drill:
        """What was asked for."""
        return self._noted.drill

    @property
    def within_s(self) -> float:
        """How long it may last before it is given up."""
        return BACK_WITHIN_S

    @property
    def doing(self) -> str:
        """What it does now, in a few words."""
        return f"drill {self.drill.text}" if self._began is not None and not self.ended else ""

    def begin(self) -> None:
        """Strike; what cannot be done is on record as not done."""
        self._began = monotonic()
        self._noted.begin()
        try:
            self._strike()
        except HarnessError as error:
            self._end(False, str(error))

    def step(self) -> None:
        """See whether it is over; gives up what does not come back in time."""
        if self.ended or self._began is None:
            return
        try:
            if self._is_over():
                self._end(True)
            elif self.lasted_s > self.within_s:
                self._give_up(f"it was not over after {self.within_s:g} s")
        except HarnessError as error:
            self._give_up(str(error))

    def abort(self) -> None:
        """Undo it if it still lasts."""
        if self.ended or self._began is None:
            return
        try:
            self._undo()
        except HarnessError as error:
            self._give_up(str(error))
        self._end(False, "the run ended while it lasted")

    @property
    def lasted_s(self) -> float:
        """Seconds since it began, however it ended."""
        return 0.0 if self._began is None else monotonic() - self._began

    def _give_up(self, why: str) -> None:
        """What it broke does not come back; a kind that broke nothing has only failed."""
        if self.breaks:
            self._seen["back"] = False
        self._end(self.breaks, why)

    def _end(self, done: bool, why: str = "") -> None:
        if not self.ended:
            self.ended = True
            self._noted.end(done, why, **self._seen)

    def _strike(self) -> object:
        raise NotImplementedError

    def _is_over(self) -> bool:
        return True

    def _undo(self) -> object:
        """Nothing, unless a kind knows better."""


class TakenDown(Fault):
    """Takes a process down and starts another; meanwhile its absence is no reason to end the run."""

    breaks = True

    def __init__(self, noted: Noted, services: Services, measure: Measure, sleep: Sleep) -> None:
        super().__init__(noted)
        self._services = services
        self._measure = measure
        self._sleep = sleep
        self._started = False

    def _strike(self) -> None:
        self._services.drilled = True
        self._take_down()

    def _take_down(self) -> object:
        raise NotImplementedError

    def _undo(self) -> None:
        """Have it up again for the final read."""
        wait_until(self._is_over, UNDO_WITHIN_S, self._sleep, every=0.05)

    def _end(self, done: bool, why: str = "") -> None:
        self._services.drilled = False
        super()._end(done, why)


class RestartDatabase(TakenDown):
    """Shuts the server down and starts it again; `immediate` leaves it to recover from its log."""

    def __init__(
        self, noted: Noted, services: Services, server: LocalServer, measure: Measure, sleep: Sleep
    ) -> None:
        super().__init__(noted, services, measure, sleep)
        self._server = server

    def _take_down(self) -> None:
        self._server.shut_down(signal.SIGQUIT if self.drill.value == "immediate" else signal.SIGINT)

    def _is_over(self) -> bool:
        if self._started:
            if not self._server.alive():
                raise SetupError(f"PostgreSQL did not start again: {end_of_log(self._server.log, 3)}")
            return self._server.answers()
        if self._server.alive():
            if self.lasted_s > SHUTDOWN_WITHIN_S:
                self._server.shut_down(signal.SIGQUIT)
            return False
        self._seen["down_s"] = round(self.lasted_s, 3)
        self._server.launch()
        self._started = True
        if self._server.pid is not None:
            self._measure("postgresql", self._server.pid)
        return False


class KeptUp(Fault):
    """Goes on for the drill's seconds, and is then undone."""

    breaks = True

    def _is_over(self) -> bool:
        if self.lasted_s < self.drill.seconds:
            return False
        self._undo()
        return True

    @property
    def within_s(self) -> float:
        """Its own time, and then some."""
        return self.drill.seconds + BACK_WITHIN_S


class PauseDatabase(KeptUp):
    """Stops the processes of the server where they are."""

    def __init__(self, noted: Noted, server: LocalServer) -> None:
        super().__init__(noted)
        self._server = server

    def _strike(self) -> None:
        self._server.pause()

    def _undo(self) -> None:
        self._server.resume()


class TerminateBackends(Fault):
    """Ends every client's session in the database at once, as a failover or an administrator does."""

    def __init__(self, noted: Noted, url: DatabaseUrl, spared: Callable[[], Sequence[int]]) -> None:
        super().__init__(noted)
        self._url = url
        self._spared = spared

    def _strike(self) -> None:
        self._seen["backends"] = end_clients(self._url, self._spared())


class DropWebSockets(Fault):
    """Drops the connections of all WebSockets, from the client's side."""

    def __init__(self, noted: Noted, dropper: Dropper) -> None:
        super().__init__(noted)
        self._dropper = dropper
        self._dropped: Callable[[], int | None] = lambda: None

    @property
    def within_s(self) -> float:
        """Every worker can tell at once."""
        return DROPPED_WITHIN_S

    def _strike(self) -> None:
        self._dropped = self._dropper.drop_websockets()

    def _is_over(self) -> bool:
        dropped = self._dropped()
        if dropped is None:
            return False
        self._seen["connections"] = dropped
        return True


class KillService(TakenDown):
    """SIGKILL of the reference service, of its first instance where it has several; it is started again as
    soon as it is seen to be gone.
    """

    def _take_down(self) -> None:
        if not self._services.instances:
            raise SetupError("The harness has started no service that it could kill.")
        self._process.kill()

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        return self._services.instances[0].process

    def _is_over(self) -> bool:
        code = self._process.poll()
        if self._started:
            if code is not None:
                raise SetupError(f"The service did not start again: exit code {code}.")
            return self._services.answers()
        if code is not None:
            end_process(self._process)
            self._services.serve()
            self._started = True
            self._measure("service", self._process.pid)
        return False


class KillCache(TakenDown):
    """SIGKILL of the reference service's cache; an empty one is started in its place."""

    def _take_down(self) -> None:
        self._server.kill()

    @property
    def _server(self) -> CacheServer:
        cache = self._services.cache
        if cache is None or cache.server is None:
            raise SetupError(f"The service has no cache: {cache.why_not if cache else 'none was asked for'}.")
        return cache.server

    def _is_over(self) -> bool:
        if self._started:
            if not self._server.alive():
                raise SetupError("The cache did not start again; its log is logs/cache.log.")
            return self._server.answers()
        if not self._server.alive():
            self._server.launch()
            self._started = True
        return False


class ExpireTokens(Fault):
    """Rotates the reference service's signing key: every token that it has issued is worth nothing."""

    def __init__(self, noted: Noted, target: Target) -> None:
        super().__init__(noted)
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None

    def _strike(self) -> None:
        self._process = self._target.rotate_keys()

    def _is_over(self) -> bool:
        code = self._process.poll() if self._process is not None else None
        if code not in (None, 0):
            raise SetupError(f"The signing key could not be rotated: {end_of_log(self._target.log, 3)}")
        return code == 0

    def _undo(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
