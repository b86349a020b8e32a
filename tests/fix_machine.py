"""Shares the machine between test workers: a test marked `quiet` has it to itself, and each worker its own
port for Locust's masters. What takes longest begins first, and what needs the machine to itself comes last.

The marked ones judge latencies of a real run, which another test's work would spoil.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest


class Machine:
    """What each worker takes a share of, or all of it, to run a test."""

    def __init__(self, folder: Path) -> None:
        self._door, self._room = (os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("door", "room"))
        self._alone = False

    def enter(self, alone: bool) -> None:
        """Wait for a share, or for all of it; who has all of it already keeps it.

        Who waits holds the door, so that no others' shares keep one from ever having all of it.
        """
        if alone and self._alone:
            return
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._alone = alone

    def leave(self) -> None:
        """Give back what was taken."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._alone = False


MACHINE = pytest.StashKey[Machine]()


def pytest_configure(config: pytest.Config) -> None:
    if _on_a_worker():
        config.stash[MACHINE] = Machine(Path(config.getoption("basetemp")).parent)  # above the workers' own


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Around a whole test with its fixtures, and outside its timeout. From one quiet test to the next the
    machine is kept: another's long test in between would be waited for.
    """
    machine = item.config.stash.get(MACHINE, None)
    if machine is None:
        return (yield)
    machine.enter(alone=_is_quiet(item))
    try:
        return (yield)
    finally:
        if not (_is_quiet(item) and nextitem is not None and _is_quiet(nextitem)):
            machine.leave()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first, so that no worker is left alone with them at the end. Files of quiet tests last: all
    workers wait for such a test, and the later it comes, the less they have to do.
    """
    if _on_a_worker():
        quiet = {item.path for item in items} - {item.path for item in items if not _is_quiet(item)}
        items.sort(
            key=lambda item: (item.path in quiet, "e2e" not in item.keywords, "unit" in item.path.parts)
        )


def _is_quiet(item: pytest.Item) -> bool:
    return item.get_closest_marker("quiet") is not None


def _on_a_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.fixture(scope="session", autouse=True)
def _port_of_locusts_masters() -> Iterator[None]:
    """Locust's default port would bring the workers of one test to the master of another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LOCUST_MASTER_NODE_PORT", port)
        environment.setenv("LOCUST_MASTER_BIND_PORT", port)
        yield
