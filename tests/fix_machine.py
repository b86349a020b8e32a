"""Shares the machine between test workers: a test marked `quiet` has it to itself.

The marked ones judge latencies of a real run, which another test's work would spoil.
"""

from __future__ import annotations

import fcntl
import os
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
