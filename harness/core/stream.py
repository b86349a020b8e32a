"""Streams: how a service pushes an account's changes over a WebSocket, as a person declares it.

    class Shopper(MigrationUser):
        stream = Stream("/ws", sequence="number", committed="at", record="item.id", greeting="last_number")

What a message is, its fields tell: one with the sequence is a change, one with the greeting's field greets,
one that bears an announcement's number tells of the migration. Any other is the service's own affair.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from harness.core.bodies import ShapeError, value_at
from harness.errors import UsageError

__all__ = ["ANNOUNCEMENT", "Message", "Stream"]

ANNOUNCEMENT = "announcement"
"""Where a broadcast of the migration's status bears the number of the announcement that it repeats."""

_LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Message:
    """What one message says; None is what it does not say.

    `sequence` is the change's number, `committed` when it was made by the clock of whoever stamped it
    (seconds since the epoch), `record` the id of what was changed. `last` is the number of the latest change
    before the connection, as a greeting tells it.
    """

    sequence: int | None = None
    committed: float | None = None
    record: str | None = None
    last: int | None = None
    announcement: int | None = None


@dataclass(frozen=True)
class Stream:
    """A WebSocket at `path`; the others name fields of its messages, with dots between for inner ones.

    `sequence`: a whole number that rises by one with each of an account's changes. `committed`: when the
    change was made, in seconds since the epoch or as ISO 8601 text. `record`: the id of the record that was
    changed, as the service's answers tell it. `greeting`: in the first message after connecting, the number
    of the latest change before. By either the service's clock is compared with this machine's; `record` does
    it best, and without both no delay is known. `resume` is what is appended to the path when a connection is
    made anew, with `{last}` for the last number seen; None where the service does not send again what was
    missed.

    `says` are JSON messages that are sent once connected, such as a subscription; `{name}` in them is the
    account's. They and the path may hold `{token}`, where the service does not take it from the header
    `Authorization`. `subprotocol` is asked for in the handshake. `ends_with_token` says that the service
    pushes nothing more once the token has ended that a connection was opened by.
    """

    path: str
    sequence: str = field(default="seq", kw_only=True)
    committed: str = field(default="committed_at", kw_only=True)
    record: str | None = field(default=None, kw_only=True)
    greeting: str | None = field(default="last_seq", kw_only=True)
    resume: str | None = field(default="?after={last}", kw_only=True)
    says: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    subprotocol: str | None = field(default=None, kw_only=True)
    ends_with_token: bool = field(default=False, kw_only=True)

    def check(self, owner: str) -> None:
        """Raise UsageError for what cannot work; `owner` is the class that declares it."""
        if not self.path.startswith("/"):
            raise UsageError(
                f"{owner}.stream has the path {self.path!r}.", "Begin it with /: the host is --host."
            )
        if self.resume is not None and "{last}" not in self.resume:
            raise UsageError(
                f"{owner}.stream resumes by {self.resume!r}, which does not say after which number.",
                "Put {last} where the last number seen belongs, or say resume=None.",
            )

    def target(self, last: int | None, token: str = "") -> str:
        """The path to connect to, when `last` is the last number seen; None at first."""
        path = self.path.replace("{token}", quote(token, safe=""))
        return (
            path if last is None or self.resume is None else path + self.resume.replace("{last}", str(last))
        )

    def first_words(self, name: str, token: str) -> list[str]:
        """What an account sends once it is connected."""
        inner = {text: json.dumps(text)[1:-1] for text in (name, token)}
        return [
            json.dumps(message).replace("{name}", inner[name]).replace("{token}", inner[token])
            for message in self.says
        ]

    def read(self, text: str | bytes) -> Message:
        """What a message says; raises ShapeError, which holds nothing of the message, for what is none."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ShapeError("a message that is not JSON") from None
        if not isinstance(value, Mapping):
            raise ShapeError("a message that is no object")
        record = value_at(value, self.record) if self.record else None
        return Message(
            sequence=_whole(value, self.sequence),
            committed=_instant(value, self.committed),
            record=None if record is None else str(record),
            last=_whole(value, self.greeting) if self.greeting else None,
            announcement=_whole(value, ANNOUNCEMENT),
        )


def _whole(value: Mapping[str, Any], path: str) -> int | None:
    found = value_at(value, path)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not -(2**63) <= found < 2**63:
        raise ShapeError(f"a message without a whole number in {path!r}")
    return found


def _instant(value: Mapping[str, Any], path: str) -> float | None:
    """Seconds since the epoch; a text without an offset is UTC."""
    found = value_at(value, path)
    if isinstance(found, str):
        try:
            at = datetime.fromisoformat(found)
        except ValueError:
            raise ShapeError(f"a message without a time in {path!r}") from None
        found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < _LATEST:
        raise ShapeError(f"a message without a time in {path!r}")
    return float(found) if math.isfinite(found) else None
