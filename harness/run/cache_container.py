"""A Valkey in a container: started for one run from an image that behaves as the official one does
(https://hub.docker.com/r/valkey/valkey), on a port of the loopback address, gone afterwards.
"""

from __future__ import annotations

import secrets
import signal
import time
from pathlib import Path

from harness.clock import Sleep, wait_until
from harness.errors import SetupError
from harness.run.cache_server import answers, settings_text
from harness.run.docker_engine import Container, Engine

__all__ = ["ContainerCache"]

PORT = 6379
SETTINGS = "/etc/valkey.conf"
READY_WITHIN_S = 30.0


class ContainerCache:
    """A running server in a container."""

    def __init__(
        self, engine: Engine, container: Container, name: str, port: int, password: str, log: Path
    ) -> None:
        self.name = name
        self._log = log
        self.port = port
        self._engine = engine
        self._container = container
        self._password = password

    def __repr__(self) -> str:
        return f"<ContainerCache {self.name} redis://:***@127.0.0.1:{self.port}>"

    @classmethod
    def start(cls, image: str, *, run_id: str, log: Path, sleep: Sleep = time.sleep) -> ContainerCache:
        """Start a container of `image` and wait until its server answers. Raises SetupError; then nothing is
        left of it.
        """
        engine = Engine.connect(run_id)
        try:
            found = engine.image(image)
            password = secrets.token_urlsafe(24)

            def make(port: int) -> Container:
                container = engine.container(
                    image,
                    f"mul-{run_id}-cache",
                    command=["valkey-server", SETTINGS],
                    ports={f"{PORT}/tcp": ("127.0.0.1", port)},
                    security_opt=["no-new-privileges:true"],
                )
                container.put(SETTINGS, settings_text(PORT, password, "0.0.0.0"))  # noqa: S104 - in the container
                return container

            container, port = engine.published(make, log)
        except BaseException:
            engine.close()
            raise
        cache = cls(engine, container, f"{image} {found}", port, password, log)
        try:
            cache._wait_ready(sleep)
        except BaseException:
            cache.stop()
            raise
        return cache

    @property
    def url(self) -> str:
        """Its URL, password included."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._container.running()

    def answers(self) -> bool:
        """Whether it takes commands now."""
        return answers(self.port, self._password)

    def kill(self) -> None:
        """SIGKILL of the server."""
        self._container.signal(signal.SIGKILL)

    def launch(self) -> None:
        """Start it again, empty, at the same port. Does not wait."""
        self._container.start(self._log)

    def stop(self) -> None:
        """Remove the container. Idempotent."""
        try:
            self._container.remove()
        finally:
            self._engine.close()

    def _wait_ready(self, sleep: Sleep) -> None:
        def settled() -> bool:
            return self.answers() or not self.alive()

        wait_until(settled, READY_WITHIN_S, sleep, every=0.05)
        if not self.answers():
            what = f"did not answer within {READY_WITHIN_S:g} s" if self.alive() else "ended at once"
            raise SetupError(
                f"The cache in a container of {self.name} {what}.",
                "Its log is logs/cache.log of the run directory; --cache none, the default, needs none.",
            )
