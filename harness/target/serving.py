"""Serving with uvicorn: alone, or beside other processes that go on when this one ends.

Beside others, no request is lost with it. A socket that they share stays open in the others, with the
connections that wait there to be accepted; a proxy before ports of their own finds the others when it is
refused here. Whoever has a kept connection is told to leave by
`Connection: close` in the next answer: to close one that is idle would lose the request that is just then on
its way to it (RFC 9112 §9.3.1).
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

__all__ = ["serve"]

LEAVE_WITHIN_S = 3.0
"""How long a kept connection may bring no request before it is closed all the same."""

GRACE_S = 3
"""How long a request may take from then on."""


def serve(host: str, port: int, workers: int, shared: int | None, drain: bool) -> None:
    """Answer requests until SIGTERM; `shared` is the descriptor of a listening socket, besides the port.

    One that shares, or is told to `drain`, is one process, and lets kept connections leave before it ends.
    """
    options: dict[str, Any] = {
        "factory": True,
        "host": host,
        "port": port,
        "workers": workers,
        "ws": "wsproto",
        # Neither access log nor the `info` level: both write the path of a WebSocket with its `?token=`.
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": GRACE_S,
    }
    app = "harness.target.app:create_app"
    if shared is None and not drain:
        uvicorn.run(app, **options)
        return
    config = uvicorn.Config(app, **options)
    sockets = [config.bind_socket()]
    if shared is not None:
        sockets.append(socket.socket(fileno=shared))
    _Instance(config).run(sockets)


class _Instance(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        try:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                while self._kept():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass  # those that are left bring no request
        await super().shutdown(sockets)

    def _kept(self) -> bool:
        """Whether a connection is kept on which a request may come; a WebSocket is none."""
        kind = self.config.http_protocol_class
        return any(isinstance(connection, kind) for connection in self.server_state.connections)
