"""Whose process is at the other end of a connection."""

from __future__ import annotations

import os
import socket

import pytest

from harness.db.backends import owners

pytestmark = pytest.mark.integration


def test_the_owners_of_this_machines_connections() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
    ):
        end = ours.getsockname()
        assert owners(os.getpid())[end] is True
        assert owners(1 << 22)[end] is False  # no process has this number
