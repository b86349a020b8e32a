"""Shares the machine between test workers: a test marked `quiet` has it to itself, and each worker its own
port for Locust's masters.

The marked ones judge latencies of a real run, which another test's work would spoil.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _share_of_the_machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    alone = request.node.get_closest_marker("quiet") is not None
    with (tmp_path_factory.getbasetemp().parent / "machine").open("a") as lock:  # above the workers' own
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


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
