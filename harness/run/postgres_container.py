"""PostgreSQL in a container: started for one run from an image that behaves as the official one does
(https://hub.docker.com/_/postgres), on a port of the loopback address, gone afterwards.

Its settings are those of the embedded server, so that the same run on either gives the same verdict.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from harness.clock import Sleep, wait_until
from harness.core.secrets import mask
from harness.db.local_server import SETTINGS, LocalServer, answers, config_text
from harness.errors import SetupError
from harness.run.docker_engine import Container, Engine

__all__ = ["ContainerServer"]

READY_WITHIN_S = 60.0
"""An official image makes the cluster, starts it for its own scripts, and starts it again."""

SHUT_DOWN_WITHIN_S = 5.0

SETTINGS_SCRIPT = "/docker-entrypoint-initdb.d/migrate-under-load.sh"
"""Read by the official entry point once the cluster is made, before the server is started for good."""

SMALL_DISK = "/small"
"""Where the data are of a server whose disk is to be filled."""

_AT_SMALL_DISK = {"bind": SMALL_DISK, "mode": "rw"}

SMALL_DISK_SETTINGS = {"min_wal_size": "80MB", "max_wal_size": "160MB"}
"""What is written anew must not be more than such a disk holds."""

FILLER = f"{SMALL_DISK}/filler"


class ContainerServer(LocalServer):
    """A running server in a container."""

    def __init__(
        self,
        engine: Engine,
        container: Container,
        image: str,
        port: int,
        password: str,
        log: Path,
        keeper: Container | None = None,
    ) -> None:
        super().__init__(port, password, log)
        self.image = image
        self._engine = engine
        self._container = container
        self._keeper = keeper
        self._stopped = False

    @classmethod
    def start(
        cls,
        image: str,
        *,
        run_id: str,
        log: Path,
        max_connections: int = 200,
        settings: Mapping[str, str] | None = None,
        disk_mb: int | None = None,
        dockerfile: Path | None = None,
        sleep: Sleep = time.sleep,
    ) -> ContainerServer:
        """Start a container of `image`, built from `dockerfile` where there is none, and wait until its
        server answers; `settings` are laid over the harness's own. With `disk_mb` its data are on a disk in
        memory of that many megabytes. Removes first what runs left that are dead. Raises SetupError; then
        nothing is left.
        """
        engine = Engine.connect(run_id)
        of_disk = SMALL_DISK_SETTINGS if disk_mb is not None else {}
        wanted = {**SETTINGS, **of_disk, "max_connections": str(max_connections), **(settings or {})}
        password = secrets.token_urlsafe(24)
        try:
            engine.sweep()
            found = engine.image(image, dockerfile)
            name = f"mul-{run_id}"
            engine.network(name)
            keeper = None if disk_mb is None else _start_keeper(engine, image, name, disk_mb, log)
            disk = {} if keeper is None else {name: _AT_SMALL_DISK}
            container, port = _start(engine, image, name, password, config_text(wanted), log, disk)
            _wait_ready(container, image, port, password, log, sleep)
            return cls(engine, container, f"{image} {found}", port, password, log, keeper)
        except BaseException:
            engine.remove_all()
            engine.close()
            raise

    def __repr__(self) -> str:
        url = f"postgresql://postgres:***@127.0.0.1:{self.port}"
        return f"<ContainerServer {self.image} {url} {self._container.name}>"

    @property
    def pid(self) -> int | None:
        """An engine in a virtual machine numbers its processes, not this machine's."""
        pid = self._container.pid
        try:
            return pid if pid and psutil.Process(pid).name() == "postgres" else None
        except psutil.NoSuchProcess:
            return None

    def settle(self) -> None:
        self.checkpoint()
        self._container.run("sh", "-c", 'sync -f "$PGDATA" || sync')

    def alive(self) -> bool:
        return self._container.running()

    def shut_down(self, how: signal.Signals = signal.SIGINT) -> None:
        self._container.signal(how)

    def launch(self) -> None:
        self._container.start(self.log)

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        self._container.resume()

    def disconnect(self) -> None:
        """Take it off its network: connections to it are cut, and it notices when it next reads from them."""
        self._container.disconnect(self._container.name)

    def connect(self) -> None:
        """Put it on its network again, at the same address. Does nothing to one that is on it."""
        self._container.connect(self._container.name)

    def limit_cpu(self, cores: float | None) -> None:
        """Let it have no more than so much of a core from now on; None: all it wants."""
        self._container.limit_cpu(cores)

    def fill_disk(self) -> None:
        """Leave nothing free on the small disk of its data; raises SetupError where it has none."""
        if self._keeper is None:
            raise SetupError("The server's data are on no disk of their own that could be filled.")
        self._keeper.run("sh", "-c", f"cat /dev/zero >{FILLER}")  # until there is no more room

    def free_disk(self) -> None:
        """Free again what `fill_disk` took."""
        if self._keeper is not None:
            self._keeper.run("rm", "-f", FILLER)

    def keep(self, database: str) -> str:
        self._stopped = True
        self._engine.close()
        return f"docker exec -it {self._container.name} psql -U postgres {database}"

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        try:
            self._container.resume()
            self._container.signal(signal.SIGINT)
            wait_until(lambda: not self.alive(), SHUT_DOWN_WITHIN_S)
        finally:
            self._engine.remove_all()
            self._engine.close()


def _start_keeper(engine: Engine, image: str, name: str, megabytes: int, log: Path) -> Container:
    """A container that does nothing but keep the small disk: what is in memory is gone when no container has
    it mounted any more, and a server that found no room may end.
    """
    engine.volume(name, megabytes)
    keeper = engine.container(
        image,
        f"{name}-disk",
        entrypoint=["sh", "-c", "while sleep 3600; do :; done"],
        user="0",
        network_mode="none",
        volumes={name: _AT_SMALL_DISK},
    )
    keeper.start(log)
    return keeper


def _start(
    engine: Engine, image: str, name: str, password: str, config: str, log: Path, disk: Mapping[str, Any]
) -> tuple[Container, int]:
    """A container that runs, and its port."""

    def make(port: int) -> Container:
        container = engine.container(
            image,
            name,
            environment={
                "POSTGRES_PASSWORD": password,
                "POSTGRES_HOST_AUTH_METHOD": "scram-sha-256",
                "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C --no-sync",
                "TZ": "UTC",
                **({"PGDATA": f"{SMALL_DISK}/data"} if disk else {}),
            },
            volumes=disk,
            ports={"5432/tcp": ("127.0.0.1", port)},
            network=name,
            security_opt=["no-new-privileges:true"],
        )
        container.put(SETTINGS_SCRIPT, f"cat >>\"$PGDATA/postgresql.conf\" <<'END'\n{config}END\n")
        return container

    return engine.published(make, log)


def _wait_ready(container: Container, image: str, port: int, password: str, log: Path, sleep: Sleep) -> None:
    """The server that runs the entry point's scripts listens on no port, so the one that answers is final."""

    def settled() -> bool:
        return answers(port, password) or not container.running()

    wait_until(settled, READY_WITHIN_S, sleep, every=0.05)
    if not answers(port, password):
        what = f"did not answer within {READY_WITHIN_S:g} s" if container.running() else "ended at once"
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        said = mask(" | ".join(text.splitlines()[-5:])) or "it said nothing."
        raise SetupError(
            f"PostgreSQL in a container of {image} {what}: {said}",
            "Does the image behave as the official one: POSTGRES_PASSWORD, /docker-entrypoint-initdb.d?",
        )
