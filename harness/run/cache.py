"""The reference service's cache, as `--cache` asks for it: in a container, as a process, or none and why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from harness.clock import Sleep
from harness.core.backend import CACHE_IMAGE, DOCKER, NONE
from harness.core.plan import Plan
from harness.run.cache_container import ContainerCache
from harness.run.cache_server import PROGRAMS, WHEEL, EmbeddedCache, cache_program
from harness.store import RunDirectory

__all__ = ["CacheServer", "ServiceCache", "start_cache"]


class CacheServer(Protocol):
    """A server that the harness started, in a container or as a process."""

    name: str

    @property
    def url(self) -> str:
        """Its URL, password included; the same after a `launch`."""

    def alive(self) -> bool:
        """Whether the server runs."""

    def answers(self) -> bool:
        """Whether it takes commands now."""

    def kill(self) -> None:
        """SIGKILL; what it kept is gone."""

    def launch(self) -> None:
        """Start it again, empty, where it was. Does not wait; see `answers`."""

    def stop(self) -> None:
        """End it, and clear up. Idempotent."""


@dataclass(frozen=True)
class ServiceCache:
    """The server, or why there is none."""

    server: CacheServer | None
    why_not: str = ""

    @property
    def described(self) -> dict[str, str]:
        """For `environment.json`."""
        return {"server": self.server.name} if self.server is not None else {"why_not": self.why_not}

    @property
    def died(self) -> bool:
        return self.server is not None and not self.server.alive()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()


def start_cache(plan: Plan, directory: RunDirectory, sleep: Sleep = time.sleep) -> ServiceCache | None:
    """None where the plan asks for none. Raises SetupError when there is one that cannot be started."""
    if plan.cache == NONE:
        return None
    log = directory.log("cache")
    if plan.services == DOCKER:
        return ServiceCache(ContainerCache.start(CACHE_IMAGE, run_id=directory.run_id, log=log, sleep=sleep))
    program = cache_program()
    if program is None:
        return ServiceCache(None, _nowhere())
    return ServiceCache(EmbeddedCache.start(program, log, sleep))


def _nowhere() -> str:
    return f"neither {' nor '.join(PROGRAMS)} is on the PATH, and the wheel {WHEEL} is not installed"
