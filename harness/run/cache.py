"""The reference service's cache, as `--cache` asks for it: in a container, as a process, or none and why."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.clock import Sleep
from harness.core.backend import CACHE_IMAGE, DOCKER, NONE
from harness.core.plan import Plan
from harness.run.cache_container import ContainerCache
from harness.run.cache_server import PROGRAMS, WHEEL, EmbeddedCache, cache_program
from harness.store import RunDirectory

__all__ = ["ServiceCache", "start_cache"]


@dataclass(frozen=True)
class ServiceCache:
    """The server, or why there is none."""

    server: EmbeddedCache | ContainerCache | None
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
