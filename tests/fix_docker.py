"""The Docker engine that `pytest -m docker` needs, and images for it. `.ci/docker-engine` brings one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest

from harness.run.docker_engine import LABEL
from tests.containers import stand_ins


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of the engine; without one these tests fail, as they would otherwise seem to have passed."""
    client = docker.from_env()
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgres_image(engine: Any) -> str:
    """The image of PostgreSQL that `--services docker` starts by default."""
    return stand_ins.postgres(engine, "18")


class Leftovers:
    """What there is of a run: its containers, its networks, and the volumes of all."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._volumes = self._all_volumes()

    def of(self, run_id: str) -> list[str]:
        """The names of what is there of that run, and of every volume that was not there at first."""
        filters = {"label": f"{LABEL}={run_id}"}
        found = self._client.containers.list(all=True, filters=filters, ignore_removed=True)
        found += self._client.networks.list(filters=filters)
        return sorted([thing.name for thing in found] + list(self._all_volumes() - self._volumes))

    def _all_volumes(self) -> set[str]:
        return {volume.name for volume in self._client.volumes.list()}


@pytest.fixture
def leftovers(engine: Any) -> Leftovers:
    """What runs leave behind, against what is there now."""
    return Leftovers(engine)
