"""The port at which Locust's master hears its workers: may it have it?

Locust finds out after it has forked the workers of `--processes`, ends with a traceback, and leaves them to
look for their master for five minutes (locust/main.py, `create_master_runner`; locust/runners.py,
`WorkerRunner`).
"""

from __future__ import annotations

import socket
from typing import Any

from harness.errors import UsageError

__all__ = ["check_master_port"]


def check_master_port(options: Any) -> None:
    """See to it that this process can be the master that `options` (Locust's) ask for, if they do.

    Raises UsageError when another has its port, or when its own workers would look for it elsewhere.
    """
    if options.worker or not (options.master or options.processes):
        return
    host, port = options.master_bind_host, options.master_bind_port
    if options.processes and port != options.master_port:
        raise UsageError(
            f"The master would listen at port {port} and the workers of --processes look for it at port"
            f" {options.master_port}.",
            f"Give both: --master-bind-port {port} --master-port {port}.",
        )
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ does
            probe.bind(("" if host == "*" else host, port))
    except OSError as error:
        raise UsageError(
            f"Locust's master cannot listen at {host}:{port}: {error.strerror}.",
            "Another run may be going on there. End it, or give this one and its workers another port:"
            " --master-bind-port, --master-port.",
        ) from error
