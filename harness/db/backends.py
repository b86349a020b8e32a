"""The migration's backends, whatever its driver: told by name, by the port of their connection, by time.

The tracer tells of its own. psql, a container, a script that clears its environment have none; but every
libpq program takes its application's name from PGAPPNAME, a process on this machine has the other end of its
connection, and a session of a new kind that begins while the migration runs is likely to be the migration's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil

from harness.clock import monotonic

__all__ = ["BackendFinder", "Client", "owners"]

LIKELY_AFTER_S = 1.0
"""How long a session of a new kind has to last before the time alone tells that it is the migration's."""

SHARE = 0.1
"""Looking up whose connections they are may take this share of a core: a service without a pool makes new
ones all the time."""

OURS = "mul-"


@dataclass(frozen=True)
class Client:
    """A session of the database: `started_at` is in run time, None where the role may not see it; `port` is
    -1 for a local socket."""

    pid: int
    user: str
    application: str
    address: str | None
    port: int | None
    started_at: float | None

    @property
    def kind(self) -> tuple[str, str, str | None]:
        """What the sessions of one program have in common."""
        return self.user, self.application, self.address


Owners = Callable[[int], Mapping[tuple[str, int], bool]]
"""For the connections of this machine, by their own address and port: whether a process at or below the given
one has it. A connection whose process cannot be seen is left out."""


def owners(root: int) -> dict[tuple[str, int], bool]:
    """See `Owners`. A process that lost its parent is still in the session that `root` leads."""
    family = _family(root)
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # this system shows them to its administrator alone
        return {}
    return {
        (found.laddr.ip.removeprefix("::ffff:"), found.laddr.port): found.pid in family
        for found in connections
        if found.laddr and found.pid is not None
    }


def _family(root: int) -> set[int]:
    parents = {process.pid: process.info["ppid"] for process in psutil.process_iter(["ppid"])}
    family = {pid for pid in parents if pid == root or _session(pid) == root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # it has ended meanwhile
        return None


class BackendFinder:
    """`application` is what the migration's sessions are called where their driver reads PGAPPNAME."""

    def __init__(self, application: str, owners: Owners = owners) -> None:
        self._application = application
        self._owners = owners
        self._began_at = 0.0
        self._before: set[tuple[str, str, str | None]] = set()
        self._owned: dict[tuple[int, float | None], bool | None] = {}
        self._look_after = 0.0

    def begin(self, at: float) -> None:
        """The migration's process is about to start, at `at` in run time."""
        self._began_at = at
        self._before.clear()
        self._owned.clear()

    def find(
        self, clients: Iterable[Client], root: int | None, announced: bool, now: float
    ) -> dict[int, str]:
        """The migration's among these sessions: pid → `name`, `port` or `time`.

        `root` is its process; `announced` says whether its tracer has told of a session: then the time alone
        tells of no further one.
        """
        named, fresh = {}, []
        for client in clients:
            if client.application.startswith(self._application):
                named[client.pid] = "name"
            elif client.started_at is None or client.started_at < self._began_at:
                self._before.add(client.kind)
            elif not client.application.startswith(OURS):
                fresh.append(client)
        if root is not None and now >= self._look_after:
            self._look_up(fresh, root, now)
        found = ((client.pid, self._by(client, announced, now)) for client in fresh)
        return named | {pid: by for pid, by in found if by}

    def _look_up(self, fresh: Iterable[Client], root: int, now: float) -> None:
        """Once for each session: its process has the connection before there is a session."""
        new = [client for client in fresh if (client.pid, client.started_at) not in self._owned]
        began = monotonic()
        known = self._owners(root) if any((client.port or 0) > 0 for client in new) else {}
        self._look_after = now + (monotonic() - began) / SHARE
        for client in new:
            end = (client.address or "", client.port or 0)
            self._owned[client.pid, client.started_at] = known.get(end)

    def _by(self, client: Client, announced: bool, now: float) -> str:
        if (client.pid, client.started_at) not in self._owned:
            return ""  # not looked up yet
        owned = self._owned[client.pid, client.started_at]
        if owned:
            return "port"
        lasts_s = now - (client.started_at or now)
        likely = owned is None and client.kind not in self._before and lasts_s >= LIKELY_AFTER_S
        return "time" if likely and not announced else ""
