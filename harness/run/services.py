"""What a run drives: the reference service on a PostgreSQL of the harness, or the person's own service."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from harness.clock import Sleep, wait_until
from harness.core.backend import DOCKER
from harness.core.plan import Plan
from harness.core.secrets import mask
from harness.db.local_server import LocalServer, free_port
from harness.db.server import EmbeddedServer
from harness.environ import child_environment
from harness.errors import SetupError
from harness.run.cache import ServiceCache, start_cache
from harness.run.databases import check_started
from harness.run.http import open_url
from harness.run.postgres_container import ContainerServer
from harness.run.signing_key import signing_key_for_services
from harness.store import RunDirectory

__all__ = [
    "DATABASE",
    "REFERENCE_ALEMBIC",
    "Instance",
    "Services",
    "Target",
    "end_of_log",
    "end_process",
    "free_port",
    "given_services",
    "instance_name",
    "start_demo",
]

REFERENCE_ALEMBIC = Path(__file__).parent.parent / "target" / "alembic.ini"
"""The reference service's Alembic configuration."""

DATABASE = "shop"
"""The name of the reference service's database."""

HEALTHY_WITHIN_S = 30.0
STOP_WITHIN_S = 5.0

CONNECTIONS_OF_AN_INSTANCE = 12
"""To the database: its pool, the one that listens, and one to spare."""

DISK_MB, ROWS_PER_MB = 512, 500
"""Of a disk that is to be filled: for PostgreSQL itself and its log, and for three times the documents."""

BACKLOG = 2048
"""Connections that may wait to be accepted: as many as where a process listens alone (uvicorn's default)."""


@dataclass
class Services:
    """Where the service and its database are, and what the harness started of them.

    `environment` is what the migration's process needs besides its own to find the database.
    """

    host: str
    database_url: str | None = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    server: LocalServer | None = None
    instances: list[Instance] = field(default_factory=list)
    started: ExitStack = field(default_factory=ExitStack, repr=False)
    target: Target | None = field(default=None, repr=False)
    cache: ServiceCache | None = None
    replica_url: str | None = field(default=None, repr=False)
    standby: EmbeddedServer | None = None
    drilled: bool = False
    """Whether a drill has something down now, on purpose."""

    @property
    def ours(self) -> bool:
        """Whether the harness started them."""
        return self.server is not None

    @property
    def image(self) -> str | None:
        """What the database's container was made from, with the image's id; None where there is none."""
        return self.server.image if isinstance(self.server, ContainerServer) else None

    def pids(self) -> dict[str, int]:
        """The processes the harness started, by name."""
        server = self.server.pid if self.server is not None else None
        standby = self.standby.pid if self.standby is not None else None
        databases = {"postgresql": server, "standby": standby}
        services = {instance_name(number): one.process.pid for number, one in enumerate(self.instances)}
        return {**{name: pid for name, pid in databases.items() if pid is not None}, **services}

    def died(self) -> str | None:
        """`service died`, `database died` or `cache died` when what the harness started ended by itself."""
        if self.drilled:
            return None
        if self.server is not None and not self.server.alive():
            return "database died"
        if self.cache is not None and self.cache.died:
            return "cache died"
        if any(instance.process.poll() is not None for instance in self.instances):
            return "service died"
        return None

    def answers(self) -> bool:
        """Whether each instance of the reference service says that it is healthy, its database included."""
        return all(one.answers() for one in self.instances) if self.instances else _healthy(self.host)

    def serve(self, number: int = 0) -> None:
        """Start an instance of the reference service like the one of that number, which has ended, and in its
        place. Does not wait; see `answers`.
        """
        if self.target is None:
            raise ValueError("only the reference service can be started")
        before = self.instances[number : number + 1]
        self.instances[number : number + 1] = [self.target.instance(**(before[0].settings if before else {}))]

    def end_service(self) -> None:
        """Ask the reference service to end, kill it when it does not. Idempotent."""
        for instance in self.instances:
            instance.process.terminate()
        for instance in self.instances:
            end_process(instance.process)

    def keep_database(self) -> str:
        """Have the database outlive the run, until the next one; returns the command that opens it."""
        if self.server is None:
            raise ValueError("only a database that the harness started can be kept")
        return self.server.keep(DATABASE)

    def stop(self) -> None:
        """Stop what the harness started, last first. Idempotent, and bounded in time."""
        self.started.close()


def given_services(plan: Plan, sleep: Sleep = time.sleep) -> Services:
    """The person's own service; raises SetupError when nothing answers at its address."""
    if plan.host is None:
        raise ValueError("a plan without a host has no service given")
    if not wait_until(lambda: _answers(plan.host or ""), HEALTHY_WITHIN_S / 3, sleep, every=0.2):
        raise SetupError(
            f"Nothing answers at {mask(plan.host)} (tried for {HEALTHY_WITHIN_S / 3:g} s).",
            "Start the service first, or mend --host.",
        )
    return Services(plan.host, plan.service_database_url, replica_url=plan.replica_url)


def start_demo(
    plan: Plan, directory: RunDirectory, sleep: Sleep = time.sleep, port: int | None = None
) -> Services:
    """Start PostgreSQL, fill a database at revision `v1`, and serve the reference service on it.

    `port` is the service's; a free one unless given.
    """
    server = _start_postgres(plan, directory, sleep)
    with ExitStack() as undo:
        undo.callback(server.stop)
        url = server.create_database(DATABASE)
        check_started(url)
        # A cache and a role that stand in the environment are of another service.
        environment = {"MUL_TARGET_DATABASE_URL": url, "MUL_TARGET_CACHE_URL": "", "MUL_TARGET_ROLE": ""}
        cache = start_cache(plan, directory, sleep)
        if cache is not None and cache.server is not None:
            undo.callback(cache.stop)
            environment["MUL_TARGET_CACHE_URL"] = cache.server.url
        port = port or free_port()
        shared = undo.enter_context(_listen(port)) if plan.instances > 1 or plan.deploys else None
        target = Target(port, environment, directory.log("service"), shared)
        host = f"http://127.0.0.1:{target.port}"
        services = Services(host, url, environment, server, target=target, cache=cache)
        undo.callback(services.end_service)
        for number in range(plan.instances):
            services.serve(number)
        _fill(plan, environment, directory.log("seed"))
        if plan.standby and isinstance(server, EmbeddedServer):
            services.standby = EmbeddedServer.start(replica_of=server, log=directory.log("standby"))
            services.replica_url = services.standby.database_url(DATABASE)
            undo.callback(services.standby.stop)
        server.settle()
        _wait_healthy(services, target.log, sleep)
        services.started = undo.pop_all()
        return services


def _start_postgres(plan: Plan, directory: RunDirectory, sleep: Sleep) -> LocalServer:
    further = CONNECTIONS_OF_AN_INSTANCE * (plan.instances - 1 + plan.deploys)
    connections, log = max(100, plan.users + 60) + further, directory.log("postgresql")
    if plan.services == DOCKER:
        fills = any(drill.name == "fill-disk" for drill in plan.planned_drills)
        return ContainerServer.start(
            plan.image,
            run_id=directory.run_id,
            log=log,
            max_connections=connections,
            disk_mb=DISK_MB + plan.rows // ROWS_PER_MB if fills else None,
            dockerfile=Path(plan.postgres_dockerfile) if plan.postgres_dockerfile else None,
            sleep=sleep,
        )
    postgres_bin = Path(plan.postgres_bin) if plan.postgres_bin else None
    return EmbeddedServer.start(postgres_bin=postgres_bin, max_connections=connections, log=log)


def end_of_log(log: Path, lines: int = 12) -> str:
    """The last lines of a log, with secrets masked, for an error message."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return mask("\n".join(text.splitlines()[-lines:]))


@dataclass(frozen=True)
class Instance:
    """A process of the reference service; at `base` it alone answers. `settings` are what it was started with
    besides those of all instances.
    """

    process: subprocess.Popen[bytes]
    base: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def answers(self) -> bool:
        """Whether it says that it is healthy, its database included."""
        return _healthy(self.base)


def instance_name(number: int) -> str:
    """What an instance's process is called where processes are measured."""
    return f"service-{number + 1}" if number else "service"


@dataclass(frozen=True)
class Target:
    """How the reference service is started: on which port, on which database, with which log.

    Where it has several instances, one after the other or side by side, they accept from a socket that they
    `share`, and which listens on the port as long as the run lasts: no connection is lost with one of them.
    """

    port: int
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    shared: socket.socket | None = field(default=None, repr=False)

    def instance(self, **settings: str) -> Instance:
        """A process that answers at the service's port, where that is shared beside others of its kind."""
        port = self.port if self.shared is None else free_port()
        process = self._start(port, self.log, self.shared, settings)
        return Instance(process, f"http://127.0.0.1:{port}", settings)

    def serve(self, port: int, log: Path | None = None, **settings: str) -> subprocess.Popen[bytes]:
        """A process on a port of its own; `settings` are MUL_TARGET_* variables without the prefix."""
        return self._start(port, log or self.log, None, settings)

    def _start(
        self, port: int, log: Path, shared: socket.socket | None, settings: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        named = {f"MUL_TARGET_{name}": value for name, value in settings.items()}
        descriptors = () if shared is None else (shared.fileno(),)
        further = [word for number in descriptors for word in ("--shared", str(number))]
        with log.open("ab") as output:
            return _target(
                ["serve", "--port", str(port), "--end-with-input", *further],
                {**self.environment, **named},
                output,
                stdin=subprocess.PIPE,
                descriptors=descriptors,
            )

    def rotate_keys(self) -> subprocess.Popen[bytes]:
        """A process that makes every token of the service invalid, and ends."""
        with self.log.open("ab") as output:
            return _target(["rotate-keys"], self.environment, output)


def _listen(port: int) -> socket.socket:
    """The socket that instances share; raises SetupError when the port is taken."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except OSError as error:
        raise SetupError(f"Port {port} cannot be listened on: {error.strerror}.") from error


def _target(
    arguments: list[str],
    environment: Mapping[str, str],
    log: IO[bytes],
    stdin: int = subprocess.DEVNULL,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "harness.target", *arguments],
        env=child_environment({**signing_key_for_services(), **environment}),
        stdin=stdin,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=descriptors,
    )


def _fill(plan: Plan, environment: Mapping[str, str], log: Path) -> None:
    """Bring the empty database to `v1` and seed it."""
    with log.open("wb") as output:
        process = _target(["seed", "--rows", str(plan.rows)], environment, output)
        try:
            code = process.wait()
        except BaseException:
            end_process(process)
            raise
    if code != 0:
        raise SetupError(
            f"The reference service's database could not be filled (exit code {code}).\n{end_of_log(log)}"
        )


def _wait_healthy(services: Services, log: Path, sleep: Sleep) -> None:
    def settled() -> bool:
        return services.died() is not None or services.answers()

    if wait_until(settled, HEALTHY_WITHIN_S, sleep, every=0.05) and services.died() is None:
        return
    code = next((c for one in services.instances if (c := one.process.poll()) is not None), None)
    what = f"did not become healthy in {HEALTHY_WITHIN_S:g} s"
    if code is not None:
        what = f"ended at once with exit code {code}"
    raise SetupError(f"The reference service {what}. The end of its log:\n{end_of_log(log)}")


def _healthy(host: str) -> bool:
    try:
        with open_url(f"{host}/health", 2) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


def _answers(host: str) -> bool:
    """Whether any HTTP answer comes back, whatever its status; of a `tcp:` service, whether it listens."""
    parts = urlsplit(host)
    try:
        if parts.scheme == "tcp":
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=2):
                return True
        with open_url(host, 2):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, HTTPException):
        return False


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; kill it when it does not."""
    for ask in (process.terminate, process.kill):
        if process.poll() is None:
            ask()
            wait_until(lambda: process.poll() is not None, STOP_WITHIN_S)
    if process.stdin is not None:
        process.stdin.close()
