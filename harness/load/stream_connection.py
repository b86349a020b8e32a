"""A connection to a stream: made as an account, with all said on it that the service wants to hear first."""

from __future__ import annotations

from harness.core.stream import Stream
from harness.load.auth import Credentials
from harness.load.websocket import WebSocket, WebSocketEnded, connect

__all__ = ["open_stream"]


def open_stream(
    stream: Stream,
    host: str,
    account: str,
    credentials: Credentials,
    *,
    last: int | None = None,
    within_s: float,
    verified: bool,
) -> WebSocket:
    """Connect to the stream of the service at `host`, resuming after the number `last` where there is one.

    `account` is whom it subscribes as, where the service wants to hear that. Raises Refused when no
    connection comes about, and WebSocketEnded when it ends while the first words are said.
    """
    own = credentials.headers_for("GET")
    token = own.get("Authorization", "").removeprefix("Bearer ")
    connection = connect(
        f"ws{host.removeprefix('http')}{stream.target(last, token)}",
        {"Origin": host, **own},
        subprotocol=stream.subprotocol,
        within_s=within_s,
        verified=verified,
    )
    try:
        for words in stream.first_words(account, token):
            connection.say(words)
    except WebSocketEnded:
        connection.close()
        raise
    return connection
