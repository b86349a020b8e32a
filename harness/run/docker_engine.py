"""The Docker engine of this machine: images, and containers, networks and volumes that bear our label.

The label holds the run's id, another one its owner (`harness.run.owner`). What a dead run left is known by
them, and `sweep` removes it. The SDK is the extra `docker`: nothing else of the harness needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.db.local_server import PORT_ATTEMPTS, free_port
from harness.environ import variable
from harness.errors import SetupError
from harness.run.owner import lives, this_process

__all__ = ["LABEL", "Container", "Engine"]

LABEL = "migrate-under-load.run"
"""Holds the id of the run that made a container, a network or a volume."""

OWNER = "migrate-under-load.owner"
"""Holds the process that made it."""

CPU_PERIOD_US = 100_000
UNLIMITED = -1
"""As a quota: none (https://docs.kernel.org/scheduler/sched-bwc.html)."""

CALL_WITHIN_S = 30.0
BUILD_SILENT_S = 600
"""How long a step of a build may say nothing."""
EMBEDDED = "--services embedded, the default, needs no Docker."
TAKEN = ("port is already allocated", "address already in use")
"""What the engine says of a port that somebody took after it had been found free; it has no code for it."""

SOCKET = "unix:///var/run/docker.sock"


class Engine:
    """The engine, for one run. `remove_all` whatever happens."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._labels = {LABEL: run_id, OWNER: this_process()}
        self.run_id = run_id

    @classmethod
    def connect(cls, run_id: str) -> Engine:
        """Raises SetupError without the SDK, without an engine that answers, or with one elsewhere."""
        try:
            docker: Any = importlib.import_module("docker")
        except ModuleNotFoundError as error:
            raise SetupError(
                f"--services docker needs the Docker SDK: {error}.",
                f"Install it with: pip install 'migrate-under-load[docker]'. {EMBEDDED}",
            ) from error
        address = variable("DOCKER_HOST") or SOCKET
        _refuse_elsewhere(address)
        try:
            _knock(address)
            client = docker.from_env(timeout=CALL_WITHIN_S)  # asks for the engine's version
        except _failures() as error:
            raise SetupError(
                f"No Docker engine answers at {address}: {error}.",
                "Start one (sudo systemctl start docker, or Docker Desktop), be in the group `docker`, or say"
                f" where it listens with DOCKER_HOST. {EMBEDDED}",
            ) from error
        return cls(client, run_id)

    @property
    def version(self) -> str:
        """The engine's own."""
        with told("Docker cannot tell its version"):
            return str(self._client.version()["Version"])

    def image(self, name: str, dockerfile: Path | None = None) -> str:
        """Have the image: as it is here, else pulled, else built from `dockerfile`, whose folder is the
        context; returns its id. Raises SetupError.
        """
        if dockerfile is not None and not dockerfile.is_file():
            raise SetupError(f"There is no Dockerfile {dockerfile}.", "Mend --postgres-dockerfile.")
        with told(f"Docker cannot look for the image {name}"), contextlib.suppress(_errors().ImageNotFound):
            return str(self._client.images.get(name).id)
        remedy = f"Pull or build it (docker build -t {name} …), or name another with --postgres-image."
        try:
            with told(f"There is no image {name} here, and it cannot be pulled", remedy):
                return str(self._client.images.pull(name).id)
        except SetupError:
            if dockerfile is None:
                raise
            return self._built(name, dockerfile)

    def _built(self, name: str, dockerfile: Path) -> str:
        with told(f"The image {name} is neither here nor in a registry, and {dockerfile} cannot be built"):
            built, _ = self._client.images.build(
                path=str(dockerfile.parent),
                dockerfile=dockerfile.name,
                tag=name,
                rm=True,
                timeout=BUILD_SILENT_S,
            )
            return str(built.id)

    def network(self, name: str) -> None:
        """Make a bridge network for this run's containers alone."""
        with told(f"Docker cannot make the network {name}"):
            self._client.networks.create(name, driver="bridge", labels=self._labels)

    def volume(self, name: str, megabytes: int) -> None:
        """Make a small disk in memory; what is on it lasts as long as a container runs that mounts it."""
        options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={megabytes}m,mode=1777"}
        with told(f"Docker cannot make the volume {name}"):
            self._client.volumes.create(name, driver="local", driver_opts=options, labels=self._labels)

    def container(self, image: str, name: str, **how: Any) -> Container:
        """Make a container, not yet started; `how` as `docker.containers.create` has it."""
        with told(f"Docker cannot make a container from {image}"):
            made = self._client.containers.create(image, name=name, labels=self._labels, **how)
            return Container(made)

    def published(self, make: Callable[[int], Container], log: Path) -> tuple[Container, int]:
        """A container that runs, and the port of the loopback address at which `make` had it published.

        The port is chosen here, for one that the engine chooses is another after each restart; somebody may
        have it by the time the container is started.
        """
        for attempt in range(1, PORT_ATTEMPTS + 1):
            port = free_port()
            container = make(port)
            try:
                container.start(log)
            except SetupError as error:
                if attempt == PORT_ATTEMPTS or not any(words in error.message for words in TAKEN):
                    raise
                container.remove()
            else:
                return container, port
        raise AssertionError("the last attempt returns or raises")

    def sweep(self) -> list[str]:
        """Remove what runs left whose process is gone; returns the names."""
        with told("Docker cannot look for what earlier runs left"):
            return self._remove({"label": OWNER}, dead=True)

    def remove_all(self) -> None:
        """Remove this run's containers with their data, its networks and its volumes. Idempotent."""
        with told("Docker cannot remove the run's containers"):
            self._remove({"label": f"{LABEL}={self.run_id}"}, dead=False)

    def close(self) -> None:
        """Close the connections to the engine."""
        self._client.close()

    def _remove(self, filters: Mapping[str, str], dead: bool) -> list[str]:
        """Containers before networks and volumes: what is in use cannot be removed."""
        removed = []
        # The SDK looks at one after the other; another run may end and remove its own meanwhile.
        for container in self._client.containers.list(all=True, filters=filters, ignore_removed=True):
            if not (dead and lives(container.labels[OWNER])):
                with _gone_already():
                    container.remove(force=True, v=True)
                removed.append(str(container.name))
        for network in self._client.networks.list(filters=filters):
            if not (dead and lives(network.attrs["Labels"][OWNER])):
                with _gone_already():
                    network.remove()
                removed.append(str(network.name))
        for volume in self._client.volumes.list(filters=filters):
            if not (dead and lives(volume.attrs["Labels"][OWNER])):
                with _gone_already():
                    volume.remove()
                removed.append(str(volume.name))
        return removed


class Container:
    """A container of a run. What it says while it runs is appended to a file by a thread."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._follower: threading.Thread | None = None
        self.name = str(made.name)

    def put(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file into it."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content.encode()), mode
            archive.addfile(entry, io.BytesIO(content.encode()))
        with told(f"Docker cannot write {path} into {self.name}"):
            self._made.put_archive("/", packed.getvalue())

    def start(self, log: Path) -> None:
        """Start it, or start it again; attached first, so that `log` misses nothing and has nothing twice."""
        with told(f"Docker cannot start {self.name}"):
            stream = self._made.attach(stream=True, logs=False)
            self._follower = threading.Thread(target=_copy, args=(stream, log), name=self.name, daemon=True)
            self._follower.start()
            self._made.start()

    def running(self) -> bool:
        """Whether it runs, paused or not. Asks the engine only once its output has ended."""
        if self._follower is not None and self._follower.is_alive():
            return True
        return self._state()["Running"] is True

    @property
    def pid(self) -> int | None:
        """Its first process as this machine numbers it, by the engine's word; None when it does not run."""
        return self._state()["Pid"] or None

    def signal(self, number: int) -> None:
        """Send its first process a signal; does nothing to a container that has ended."""
        with told(f"Docker cannot signal {self.name}"), _gone_already():
            self._made.kill(signal=int(number))

    def pause(self) -> None:
        """Freeze all its processes; raises SetupError when it has ended."""
        with told(f"Docker cannot pause {self.name}"):
            self._made.pause()

    def resume(self) -> None:
        """Have its processes go on. Does nothing to one that is not paused."""
        with told(f"Docker cannot resume {self.name}"):
            if self._state()["Paused"]:
                self._made.unpause()

    def disconnect(self, network: str) -> None:
        """Take it off a network of the run: its published ports are gone, too."""
        with told(f"Docker cannot take {self.name} off its network"):
            self._network(network).disconnect(self._made)

    def connect(self, network: str) -> None:
        """Put it on a network again, at the same ports. Does nothing to one that is on it."""
        with told(f"Docker cannot put {self.name} on its network again"):
            self._made.reload()
            if network not in self._made.attrs["NetworkSettings"]["Networks"]:
                self._network(network).connect(self._made)

    def _network(self, name: str) -> Any:
        return self._made.client.networks.get(name)

    def limit_cpu(self, cores: float | None) -> None:
        """Let it have no more than so much of a core from now on; None: all it wants."""
        quota = UNLIMITED if cores is None else round(cores * CPU_PERIOD_US)
        with told(f"Docker cannot limit the CPU of {self.name}"):
            self._made.update(cpu_period=CPU_PERIOD_US, cpu_quota=quota)

    def run(self, *command: str) -> bool:
        """Run a command in it; whether it ended well."""
        with told(f"Docker cannot run {command[0]} in {self.name}"):
            return bool(self._made.exec_run(list(command)).exit_code == 0)

    def remove(self) -> None:
        """Remove it with its data, running or not."""
        with told(f"Docker cannot remove {self.name}"), _gone_already():
            self._made.remove(force=True, v=True)

    def _state(self) -> dict[str, Any]:
        with told(f"Docker cannot tell how {self.name} is"):
            self._made.reload()
            state: dict[str, Any] = self._made.attrs["State"]
            return state


def _copy(stream: Any, log: Path) -> None:
    """Until the container ends, or the engine does: what requests raises then is an OSError."""
    with log.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for piece in stream:
            file.write(piece)
    stream.close()
    stream._response.close()  # the stream's own `close` leaves the socket to the garbage collector


def _refuse_elsewhere(address: str) -> None:
    """The database is reached on this machine's loopback address."""
    parts = urlsplit(address)
    if parts.scheme == "unix" or (parts.scheme == "tcp" and parts.hostname in ("127.0.0.1", "localhost")):
        return
    raise SetupError(
        f"DOCKER_HOST is {parts.scheme}://{parts.hostname}: the engine is not on this machine, and neither"
        " would be the ports of its containers.",
        f"Use the engine of this machine: unset DOCKER_HOST. {EMBEDDED}",
    )


def _knock(address: str) -> None:
    """Raises OSError where nobody listens; the SDK would leave a socket open, and say it at more length."""
    parts = urlsplit(address)
    if parts.scheme == "tcp":
        socket.create_connection((parts.hostname, parts.port or 2375), CALL_WITHIN_S).close()
        return
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(CALL_WITHIN_S)
        knocking.connect(parts.path)


def _errors() -> Any:
    return importlib.import_module("docker.errors")


def _failures() -> tuple[type[Exception], ...]:
    """What the SDK raises: errors of its own, and those of requests, which are OSErrors."""
    return _errors().DockerException, OSError


@contextlib.contextmanager
def told(what: str, remedy: str = "Look at the engine: docker info, and its log.") -> Iterator[None]:
    """Have a failure of the engine told as a SetupError."""
    try:
        yield
    except _failures() as error:
        raise SetupError(f"{what}: {error}.", remedy) from error


@contextlib.contextmanager
def _gone_already() -> Iterator[None]:
    """Nothing is wrong with what has ended or was removed meanwhile, or is being removed by another run."""
    errors = _errors()
    try:
        yield
    except errors.NotFound:
        return
    except errors.APIError as error:
        if error.status_code != 409:
            raise
