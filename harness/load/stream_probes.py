"""Probes of streams: who is told of a change that is not its own, or by a token that is none.

Several connections are opened, a record is written, and it is seen who is told of it. Its owner must be, by a
valid token: that is the control. A service may refuse the others at the door, hang up on them, or leave them
without a word.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import gevent

from harness.clock import monotonic, wait_until
from harness.core.canary import foreign
from harness.core.declaration import Declaration
from harness.core.forgery import Jwt, altered_token, forged
from harness.core.isolation import (
    FAILED,
    FOREIGN_STREAM,
    NOT_TRIED,
    STREAM_EXPIRED,
    STREAM_FORGED,
    STREAM_OUTLIVED,
    VALID_TOKEN,
    WORKED,
    judge_stream,
)
from harness.core.record import Said
from harness.core.stream import Stream
from harness.load.accounts import Actor
from harness.load.auth import Credentials, LoginError
from harness.load.bait import Ask, Bait, NoRecordError
from harness.load.client import MeasuredSession
from harness.load.signer import Signer
from harness.load.stream_connection import open_stream
from harness.load.token_auth import BearerAuth
from harness.load.token_probes import Outliving
from harness.load.valve import valve
from harness.load.websocket import Refused, WebSocket, WebSocketEnded

__all__ = ["Listener", "open_for_later", "opened", "probe_stream"]

_CONNECTED_WITHIN_S = 5.0
_GREETED_WITHIN_S = 0.5
"""How long a service may take to know of a connection that it has accepted."""
_TOLD_WITHIN_S = 2.0
_LATER_S = 0.3
"""How much later than its owner the others may be told."""
_LOOK_S = 0.02
_OVER_S = 0.5
_SHORT_S = 5.0
"""How long a token lasts that we sign ourselves, to see whether a connection outlives it."""
_EARLY_S = 1.5
"""How much sooner than we think a token may end: its end is told in whole seconds."""
_KEPT = 200
"""Messages that are looked through: more than come in the time."""


class Listener:
    """A connection, and the last of what came over it; ends with the load at the latest.

    `name` is whom it subscribes as, where the service wants to hear that.
    """

    def __init__(self, stream: Stream, session: MeasuredSession, name: str, credentials: Credentials) -> None:
        self.messages: deque[str] = deque(maxlen=_KEPT)
        self.refused: str | None = None
        """Why no connection came about, None where one did."""
        self.status: int | None = None
        """Of the service's answer, where it refused the connection."""
        self.ended_at: float | None = None
        """When the connection ended, None while it is open."""
        self._connection: WebSocket | None = None
        try:
            self._connection = open_stream(
                stream,
                session.base_url,
                name,
                credentials,
                within_s=_CONNECTED_WITHIN_S,
                verified=session.verified,
            )
        except Refused as refused:
            self.refused, self.status, self.ended_at = refused.cause, refused.status, monotonic()
        except WebSocketEnded:
            self.ended_at = monotonic()
        else:
            gevent.spawn(self._listen, self._connection)
            gevent.spawn(self._close_with_the_load)

    def was_told_of(self, bait: Bait) -> bool:
        """Whether a message named the record, or bears the canary of its owner."""
        owner = bait.owner.login.account.name
        return any((bait.id and bait.id in text) or owner in foreign(text, "") for text in self.messages)

    def close(self) -> None:
        """Say goodbye."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _listen(self, connection: WebSocket) -> None:
        try:
            while True:
                message = connection.receive()
                self.messages.append(
                    message if isinstance(message, str) else message.decode(errors="replace")
                )
        except WebSocketEnded:
            self.ended_at = monotonic()

    def _close_with_the_load(self) -> None:
        while self._connection is not None and not valve.closed:
            gevent.sleep(_OVER_S)
        self.close()


@dataclass(frozen=True)
class _Opened:
    """A connection that stays open, and when the token ends that it was opened by."""

    listener: Listener
    ends_at: float


@lru_cache(maxsize=1)
def opened(run_id: str) -> dict[str, _Opened]:  # noqa: ARG001 - what the cache goes by
    """The connections of this process that may outlive their token in one run, by account."""
    return {}


@dataclass(frozen=True)
class _Tried:
    """A connection over which nothing may come, of which kind it is, and in words how it was made."""

    account: str
    kind: str
    how: str
    listener: Listener


def probe_stream(
    owner: Actor,
    stranger: Actor | None,
    resource: Declaration,
    kept: Outliving,
    run: str,
    pause: Callable[[], None],
) -> Iterator[Said]:
    """Write a record of `owner` and see who is told of it; `pause` is called before each connection."""
    name, what = owner.login.account.name, f"WebSocket {owner.user.stream.path}"
    bait = Bait(owner, resource, run, Ask(pause))
    listeners: list[Listener] = []
    try:
        control = _listener(owner, owner, pause)
        listeners.append(control)
        tried: list[_Tried] = []
        for one in chain(_strangers(owner, stranger, pause), _tokens(owner, kept, pause)):
            tried.append(one)
            listeners.append(one.listener)
        outlived = _outlived(owner, opened(run))
        if isinstance(outlived, _Tried):
            tried.append(outlived)
        else:
            yield name, STREAM_OUTLIVED, NOT_TRIED, outlived
        _until_greeted(listeners)
        for listener in (control, *(one.listener for one in tried)):
            listener.messages.clear()  # what came before tells nothing of this record
        heard = _write(bait, control)
        yield name, VALID_TOKEN, WORKED if heard else FAILED, what
        for one in tried:
            made = one.listener
            told = made.was_told_of(bait)
            outcome, detail = judge_stream(one.kind, told, heard, made.refused, made.status)
            yield one.account, one.kind, outcome, detail and f"{what}, {one.how}: {detail}"
        if isinstance(outlived, _Tried):  # once it is judged: these probes may be broken off before
            opened(run).pop(name).listener.close()
            open_for_later(owner, run, pause)
    except (LoginError, NoRecordError) as error:
        yield name, FOREIGN_STREAM, NOT_TRIED, str(error)
    finally:
        for listener in listeners:
            listener.close()


def _until_greeted(listeners: Sequence[Listener]) -> None:
    """Until the service knows of each connection, as far as it says so."""
    wait_until(
        lambda: all(one.messages or one.ended_at is not None for one in listeners),
        _GREETED_WITHIN_S,
        gevent.sleep,
        _LOOK_S,
    )


def _write(bait: Bait, control: Listener) -> bool:
    """Write the record; whether its owner was told of it. The others have a little longer."""
    try:
        bait.create()
        heard = wait_until(lambda: control.was_told_of(bait), _TOLD_WITHIN_S, gevent.sleep, _LOOK_S)
        if heard:
            gevent.sleep(_LATER_S)
        return heard
    finally:
        bait.remove()


def _listener(as_whom: Actor, whose: Actor, pause: Callable[[], None]) -> Listener:
    """A connection by an account's own credentials, which asks for the changes of `whose`."""
    login = as_whom.login
    credentials = login.credentials(login.session.unrecorded)
    pause()
    return Listener(as_whom.user.stream, login.session, whose.login.account.name, credentials)


def _strangers(owner: Actor, stranger: Actor | None, pause: Callable[[], None]) -> Iterator[_Tried]:
    """Another account with a subscription of its own, and, where one says whose, with the owner's."""
    if stranger is None:
        return
    name = stranger.login.account.name
    yield _Tried(name, FOREIGN_STREAM, "another account's", _listener(stranger, stranger, pause))
    if "{name}" in str(owner.user.stream.says):
        yield _Tried(
            name, FOREIGN_STREAM, "subscribed to by another account", _listener(stranger, owner, pause)
        )


def _tokens(owner: Actor, kept: Outliving, pause: Callable[[], None]) -> Iterator[_Tried]:
    """The owner's name, with what is no token, or none any more."""
    login, auth = owner.login, owner.login.auth
    if not isinstance(auth, BearerAuth):
        return
    token = auth.token_of(login.credentials(login.session.unrecorded)) or ""
    opaque = altered_token(token)
    forgeries = list(forged(token))[:2] or ([opaque] if opaque is not None else [])
    texts = [(STREAM_FORGED, f"{forgery.kind}, {forgery.how}", forgery.token) for forgery in forgeries]
    # The changes are the owner's: another account's token would be told of nothing, valid or not.
    own = kept.token is not None and kept.account == login.account.name
    signer = _signer(auth, token)
    if own and kept.late_s(monotonic()) > auth.leeway_s:
        texts.append((STREAM_EXPIRED, "a token that had ended", str(kept.token)))
    elif signer is not None:
        how = "a token that was signed with the service's key, and ended an hour ago"
        texts.append((STREAM_EXPIRED, how, signer.ended()))
    name, session = login.account.name, login.session
    for kind, how, text in texts:
        pause()
        yield _Tried(name, kind, how, Listener(owner.user.stream, session, name, auth.proof_by(text)))


def _signer(auth: BearerAuth, token: str) -> Signer | None:
    """Signs as the service does, where its key is known (`load/token_probes.py` says where it is not)."""
    parsed = Jwt.parse(token)
    signer = None if parsed is None else Signer.of(auth, parsed)
    return signer if isinstance(signer, Signer) else None


def _outlived(owner: Actor, known: Mapping[str, _Opened]) -> _Tried | str:
    """The owner's connection from before, once its token has ended; else why it cannot be tried."""
    auth, name = owner.login.auth, owner.login.account.name
    if not (owner.user.stream.ends_with_token and isinstance(auth, BearerAuth)):
        return "nothing says that a connection ends with its token (ends_with_token)"
    found = known.get(name)
    if found is None:
        return "no connection was open before"
    if monotonic() - found.ends_at <= auth.leeway_s:
        return "no token ended while a connection was open"
    ended_at = found.listener.ended_at
    if ended_at is not None and ended_at < found.ends_at - _EARLY_S:
        return "the connection ended before its token"
    return _Tried(name, STREAM_OUTLIVED, "opened by a token that has ended since", found.listener)


def open_for_later(owner: Actor, run: str, pause: Callable[[], None]) -> None:
    """Open a connection of an account that may outlive its token, where none is open, for `probe_stream`:
    by a token that ends soon, where one can be signed, else by the account's own.
    """
    login, auth = owner.login, owner.login.auth
    if not (owner.user.stream.ends_with_token and isinstance(auth, BearerAuth)):
        return
    if login.account.name not in opened(run):
        with suppress(LoginError):
            opened(run)[login.account.name] = _opened(owner, auth, pause)


def _opened(owner: Actor, auth: BearerAuth, pause: Callable[[], None]) -> _Opened:
    login = owner.login
    credentials, issued = login.credentials(login.session.unrecorded), login.issued
    ends_at = math.inf if issued is None else issued.expires_at
    signer = _signer(auth, auth.token_of(credentials) or "")
    soon = monotonic() + _SHORT_S
    if signer is not None and isinstance(signer.token.claims.get("exp"), int) and soon < ends_at < math.inf:
        # By the token's own end, as the service's clock may be another.
        sooner_s = math.floor(ends_at - soon)
        credentials = auth.proof_by(signer.sign(exp=signer.token.claims["exp"] - sooner_s))
        ends_at -= sooner_s
    pause()
    return _Opened(Listener(owner.user.stream, login.session, login.account.name, credentials), ends_at)
