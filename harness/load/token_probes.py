"""Probes of tokens: what is not, or no longer, a token of the service is sent to it, and must be refused.

Most are forged from a token that an account holds, without a login (`core/forgery.py`). Others need more:

- *expired*: a token that the service issued and that outlived its end within the run, or one rightly
  signed with the service's key, where that is known; so are those with a wrong audience or issuer;
- *revoked* and *missing scope*: sessions that are logged in for that, as an account without a user where
  there is one, as some services have one session per account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import gevent
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness.clock import monotonic
from harness.core.forgery import Forged, Jwt, altered_token, forged
from harness.core.isolation import (
    ALTERED,
    ERROR,
    EXPIRED,
    FAILED,
    FORGED_SIGNATURE,
    KEY_CONFUSION,
    MISSING_SCOPE,
    NOT_TRIED,
    REVOKED,
    VALID_TOKEN,
    WORKED,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
    judge_token,
)
from harness.core.record import Said, Tried
from harness.load.accounts import Actor
from harness.load.auth import Credentials, Login, LoginError
from harness.load.bait import Ask, Bait, NoRecordError
from harness.load.signer import Signer
from harness.load.token_auth import BearerAuth

__all__ = ["Outliving", "outliving", "probe_sessions", "probe_tokens"]

_TRIES = 2
"""A user may renew its token in the middle of it; then the one it held may rightly be void."""

_REVOKED_WITHIN_S = 1.0
"""How long a revocation may take to be known everywhere."""

_KEYS = 2
"""Of a service's public keys so many are tried."""

_NOBODY = "migrate-under-load-nobody"
"""An audience, or issuer, that no service knows."""


@dataclass
class Outliving:
    """A token of the run that may outlive its end before the run does, None before one is kept, and whose."""

    token: str | None = field(default=None, repr=False)
    account: str = ""
    ends_at: float = 0.0

    def late_s(self, now: float) -> float:
        """For how long it has ended; negative before that."""
        return now - self.ends_at

    def keep(self, account: str, token: str, ends_at: float) -> None:
        """Of several the one that ends first."""
        if self.token is None or ends_at < self.ends_at:
            self.account, self.token, self.ends_at = account, token, ends_at


@lru_cache(maxsize=1)
def outliving(run_id: str) -> Outliving:  # noqa: ARG001 - what the cache goes by
    """The token of this process that may outlive its end in one run."""
    return Outliving()


@dataclass(frozen=True)
class _Held:
    """The token that an account holds, and how the service answers for it."""

    auth: BearerAuth
    login: Login
    path: str
    token: str = field(repr=False)
    pause: Callable[[], None]

    def status(self, token: str | None) -> int:
        """The service's answer to a token, or to none."""
        credentials = Credentials() if token is None else self.auth.proof_by(token)
        self.pause()
        headers = credentials.headers_for("GET")
        return self.login.session.unrecorded("GET", self.path, headers=headers).status_code


def probe_tokens(
    actor: Actor, another: Actor | None, kept: Outliving, pause: Callable[[], None]
) -> Iterator[Said]:
    """Have the service judge what is forged from the token that an account holds; needs no login."""
    name = actor.login.account.name
    try:
        for number in range(1, _TRIES + 1):
            held = _held(actor, pause)
            if isinstance(held, str):
                yield name, FORGED_SIGNATURE, NOT_TRIED, held
                return
            said = list(_tried(held, another, kept))
            if number == _TRIES or _is_whole(said):
                break
        yield from ((name, *one) for one in said)
    except LoginError as error:
        yield name, FORGED_SIGNATURE, NOT_TRIED, str(error)


def _held(actor: Actor, pause: Callable[[], None]) -> _Held | str:
    """The token that an account holds, or why there is none to forge from."""
    login, auth = actor.login, actor.login.auth
    if not isinstance(auth, BearerAuth):
        return f"{type(auth).__name__} bears no token"
    if actor.probe_path is None:
        return "no path is known that the account may read: set probe_path in the class of users"
    token = auth.token_of(login.credentials(login.session.unrecorded))
    if token is None:
        return "the account holds no token"
    return _Held(auth, login, actor.probe_path, token, pause)


def _is_whole(said: list[Tried]) -> bool:
    return all(outcome != FAILED for kind, outcome, _ in said if kind == VALID_TOKEN)


def _tried(held: _Held, another: Actor | None, kept: Outliving) -> Iterator[Tried]:
    """Each forgery between two uses of the valid token; outcomes are judged when both are known."""
    public = held.status(None) in range(200, 300)
    before = held.status(held.token)
    answers: list[tuple[Forged, int, int]] = []
    unknown: list[Tried] = []
    signing = _Signing.of(held)
    worked = before in range(200, 300)
    for one in chain(_forgeries(held, another), _outlived(held, kept, worked, spare=bool(signing.forged))):
        if isinstance(one, tuple):
            unknown.append(one)
        else:
            answers.append((one, held.status(one.token), before))
    # A key that signs nothing the service takes proves nothing.
    control = before if signing.resigned is None else held.status(signing.resigned)
    answers += [(one, held.status(one.token), control) for one in signing.forged]
    after = held.status(held.token)
    for status in (before, after):
        worked = status in range(200, 300)
        yield VALID_TOKEN, WORKED if worked else FAILED, f"GET {held.path}: HTTP {status}"
    for one, status, first in answers:
        outcome, detail = judge_token(status, first, after, public)
        yield one.kind, outcome, detail and f"{one.how}: {detail}"
    yield from unknown
    yield from signing.unknown


def _forgeries(held: _Held, another: Actor | None) -> Iterator[Forged | Tried]:
    """What is forged without the service's key; tuples say what is not tried."""
    token = Jwt.parse(held.token)
    if token is None:
        opaque = altered_token(held.token)
        yield opaque or (ALTERED, NOT_TRIED, "the token has no letter or digit")
    else:
        keys: tuple[bytes, ...] = ()
        if held.auth.jwks is not None and not token.symmetric:
            try:
                keys = _public_keys(held, str(token.header.get("kid", "")))
            except ValueError as error:
                yield KEY_CONFUSION, ERROR, f"GET {held.auth.jwks}: {error}"
        theirs = another.login.issued if another is not None else None
        theirs_token = None if theirs is None else held.auth.token_of(theirs.credentials)
        yield from forged(held.token, theirs_token, keys)


def _outlived(held: _Held, kept: Outliving, works: bool, spare: bool) -> Iterator[Forged | Tried]:
    """The token that was kept, once it has outlived its end by more than the service's leeway. One that
    `works` is kept; `spare` says that an ended one is tried in any case.
    """
    issued = held.login.issued
    if works and issued is not None and held.auth.token_of(issued.credentials) == held.token:
        kept.keep(held.login.account.name, held.token, issued.expires_at)
    late_s = kept.late_s(monotonic())
    if kept.token is not None and kept.token != held.token and late_s > held.auth.leeway_s:
        yield Forged(EXPIRED, f"issued by the service, and ended {late_s:.0f} s ago", kept.token)
    elif not spare:
        why = f"no token outlived its end by the leeway of {held.auth.leeway_s:g} s yet"
        yield EXPIRED, NOT_TRIED, "its tokens tell no end" if kept.ends_at == math.inf else why


def _public_keys(held: _Held, key_id: str) -> tuple[bytes, ...]:
    """The service's public keys, each as PEM (with and without its last newline) and as DER; that which the
    token names comes first. Raises ValueError.
    """
    held.pause()
    response = held.login.session.unrecorded("GET", str(held.auth.jwks))
    if response.status_code != 200:
        raise ValueError(f"HTTP {response.status_code}")
    try:
        keys = jwt.PyJWKSet.from_dict(response.json()).keys
    except (jwt.PyJWTError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no key set ({type(error).__name__})") from None
    found: list[bytes] = []
    public_keys: list[Any] = [key.key for key in sorted(keys, key=lambda key: key.key_id != key_id)]
    for public in [key for key in public_keys if hasattr(key, "public_bytes")][:_KEYS]:
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        found += [pem, pem.rstrip(), public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
    return tuple(found)


@dataclass(frozen=True)
class _Signing:
    """Tokens that are rightly signed with the service's key: one that it must take (the control of the key
    itself), and those that it must not; `unknown` says what is not tried.
    """

    resigned: str | None = field(default=None, repr=False)
    forged: tuple[Forged, ...] = ()
    unknown: tuple[Tried, ...] = ()

    @classmethod
    def of(cls, held: _Held) -> _Signing:
        """What can be signed for the token that an account holds."""
        token = Jwt.parse(held.token)
        if token is None:
            return cls()
        signer = Signer.of(held.auth, token)
        if isinstance(signer, str):
            return cls(unknown=tuple((kind, NOT_TRIED, signer) for kind in (WRONG_AUDIENCE, WRONG_ISSUER)))
        forgeries = [Forged(EXPIRED, "signed with the service's key, and ended an hour ago", signer.ended())]
        unknown: list[Tried] = []
        for claim, kind in (("aud", WRONG_AUDIENCE), ("iss", WRONG_ISSUER)):
            if claim in token.claims:
                how = f"signed with the service's key, for another {claim}"
                forgeries.append(Forged(kind, how, signer.sign(**{claim: _NOBODY})))
            else:
                unknown.append((kind, NOT_TRIED, f"its tokens name no {claim}"))
        return cls(signer.sign(), tuple(forgeries), tuple(unknown))


# what needs a login


def probe_sessions(spare: Actor, valid: Actor, run: str, pause: Callable[[], None]) -> Iterator[Said]:
    """Have the service judge a token that may only read, and one that was revoked; both are logged in for.

    `spare` is as whom; `valid` holds a token that goes on being good, the control of the revoked one.
    """
    name = spare.login.account.name
    missing_scope, revoked = _missing_scope(spare, run, pause), _revoked(spare, valid, pause)
    for kind, tries in ((MISSING_SCOPE, missing_scope), (REVOKED, revoked)):
        try:
            yield from ((name, *one) for one in tries)
        except (LoginError, NoRecordError) as error:
            yield name, kind, NOT_TRIED, str(error)


def _missing_scope(spare: Actor, run: str, pause: Callable[[], None]) -> Iterator[Tried]:
    """A token that may only read is used to write; with the account's usual one the same works."""
    auth = spare.login.auth
    narrowed = auth.narrowed if isinstance(auth, BearerAuth) else None
    writable = [resource for resource in spare.resources if resource.writes and resource.private]
    if narrowed is None or not writable or spare.probe_path is None:
        why = (
            "no scope is declared that may only read"
            if narrowed is None
            else "no private resource is written"
        )
        yield MISSING_SCOPE, NOT_TRIED, why
        return
    ask, resource = Ask(pause), writable[0]
    login = Login(narrowed, spare.login.account, spare.login.session)
    reader = replace(spare, login=login)
    before = ask(reader, "GET", spare.probe_path).status_code
    written = Bait(reader, resource, run, ask)
    status = written.try_create()
    written.owner = spare
    written.remove()
    allowed = Bait(spare, resource, run, ask)
    after = allowed.try_create()
    allowed.remove()
    outcome, detail = judge_token(status, before, after)
    yield VALID_TOKEN, WORKED if after in range(200, 300) else FAILED, f"POST {resource.path}: HTTP {after}"
    yield MISSING_SCOPE, outcome, detail and f"POST {resource.path} by a token that may only read: {detail}"


def _revoked(spare: Actor, valid: Actor, pause: Callable[[], None]) -> Iterator[Tried]:
    """A session is logged in, used, ended by the declared call, and used again."""
    auth, login = spare.login.auth, spare.login
    call = auth.revocation if isinstance(auth, BearerAuth) else None
    if call is None or spare.probe_path is None:
        yield REVOKED, NOT_TRIED, "no call is declared that revokes a token"
        return
    held = _held(spare, pause)
    if isinstance(held, str):
        yield REVOKED, NOT_TRIED, held
        return
    public = held.status(None) in range(200, 300)
    before = held.status(held.token)
    pause()
    answer = call.send(held.token, login.session.unrecorded).status_code
    status = held.status(held.token)
    if status in range(200, 300):
        gevent.sleep(_REVOKED_WITHIN_S)
        status = held.status(held.token)
    other = _held(valid, pause)
    after = other.status(other.token) if isinstance(other, _Held) else 0
    yield VALID_TOKEN, WORKED if after in range(200, 300) else FAILED, f"GET {held.path}: HTTP {after}"
    if answer not in range(200, 300):
        yield REVOKED, ERROR, f"POST {call.path} did not revoke it: HTTP {answer}"
        return
    outcome, detail = judge_token(status, before, after, public)
    yield REVOKED, outcome, detail and f"revoked by POST {call.path}: {detail}"
