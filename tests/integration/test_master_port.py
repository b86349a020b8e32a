"""A port that the master cannot have is found before any worker is started."""

from __future__ import annotations

import socket
from argparse import Namespace

import pytest

from harness.errors import UsageError
from harness.load.master_port import check_master_port

pytestmark = pytest.mark.integration


def asked(**options: object) -> Namespace:
    plain = {"worker": False, "master": False, "processes": None, "master_bind_host": "127.0.0.1"}
    return Namespace(**{**plain, "master_port": 5557, "master_bind_port": 5557, **options})


def test_a_taken_port_is_refused_by_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for role in ({"master": True}, {"processes": 2, "master_port": port}):
            with pytest.raises(UsageError, match=f"127.0.0.1:{port}: Address already in use"):
                check_master_port(asked(master_bind_port=port, **role))
        check_master_port(asked(master_bind_port=port))  # one process: it listens nowhere
        check_master_port(asked(master_bind_port=port, worker=True, processes=2))


@pytest.mark.parametrize("host", ["*", "127.0.0.1", "::1"])
def test_a_free_port_is_good(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind(("::1" if ":" in host else "127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_master_port(asked(master=True, master_bind_host=host, master_bind_port=port))


def test_workers_that_would_look_elsewhere_are_refused() -> None:
    with pytest.raises(UsageError, match="--master-bind-port 5591 --master-port 5591"):
        check_master_port(asked(processes=2, master_bind_port=5591))
