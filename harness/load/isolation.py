"""Isolation probes: who is set on whose records, with which tokens, when and how fast.

They go on beside the load and apart from it: nothing of them is a sample, and so many requests a second are
made and no more. One process of the load makes them for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import gevent

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.declaration import Declaration
from harness.core.isolation import FOREIGN_READ, MISSING_SCOPE, NOT_TRIED, REVOKED
from harness.core.record import Said
from harness.load.accounts import Actor, RunAccounts, accounts_of
from harness.load.auth import Login
from harness.load.hooks import on_isolate
from harness.load.messages import IsolationOrder
from harness.load.record_probes import probe_records
from harness.load.recorder import recorder
from harness.load.stream_probes import open_for_later, opened, probe_stream
from harness.load.token_probes import outliving, probe_sessions, probe_tokens
from harness.load.valve import valve

__all__ = ["probe_isolation"]


class _OverError(Exception):
    """The load is at its end, and so are its probes."""


class _Pace:
    """Keeps requests apart; raises _OverError once no more are to be made."""

    def __init__(self, per_second: float) -> None:
        self._apart_s = 1.0 / per_second
        self._next = monotonic()

    def __call__(self) -> None:
        if valve.closed:
            raise _OverError
        gevent.sleep(max(0.0, self._next - monotonic()))
        self._next = max(self._next, monotonic()) + self._apart_s


@on_isolate
def _probe_ours(order: IsolationOrder) -> None:
    """Make the probes with this process's accounts, for as long as the order allows."""
    settings = recorder.settings
    if settings is None:
        return
    run, random = accounts_of(settings), Random(f"{settings.seed}:isolation:{order.own_accounts}")  # noqa: S311 - repeatable on purpose
    going = gevent.spawn(probe_isolation, run, settings.run_id, order, random)
    going.join(order.within_s)
    going.kill()


def probe_isolation(run: RunAccounts, run_id: str, order: IsolationOrder, random: Random) -> None:
    """Probe tokens, then the records of each resource once, and record what came of it."""
    awake = [actor for actor in run.actors.values() if actor.login.issued is not None]
    pause = _Pace(order.per_second)
    try:
        for account, probe, outcome, detail in _probes(run, awake, run_id, order, random, pause):
            recorder.probe(account, probe, outcome, detail)
    except _OverError:
        return


def _probes(
    run: RunAccounts,
    awake: Sequence[Actor],
    run_id: str,
    order: IsolationOrder,
    random: Random,
    pause: Callable[[], None],
) -> Iterator[Said]:
    kept = outliving(run_id)
    bearers = [actor for actor in awake if actor.login.auth.bears_token]
    # The same as before: its token and its connection are to have ended since.
    before = [one for one in bearers if one.login.account.name == kept.account]
    actor = random.choice(before or bearers) if bearers else None
    streams = _Streams.of(awake, actor, run_id, random)
    if streams is not None:
        open_for_later(streams.owner, run_id, pause)
    if actor is not None:
        others = [one for one in bearers if one is not actor and one.login.auth is actor.login.auth]
        another = random.choice(others) if others else None
        yield from probe_tokens(actor, another, kept, pause)
    for resource in dict.fromkeys(one for actor in awake for one in actor.resources):
        if resource.private and resource.writes and "read" in resource.does:
            yield from _records(resource, awake, run_id, random, pause)
    if streams is not None:
        yield from probe_stream(streams.owner, streams.stranger, streams.resource, kept, run_id, pause)
    if actor is not None:
        yield from _sessions(run, actor, run_id, order, pause)


def _records(
    resource: Declaration, awake: Sequence[Actor], run_id: str, random: Random, pause: Callable[[], None]
) -> Iterator[Said]:
    """A stranger is set on a record of one of those who have such records."""
    owners = [actor for actor in awake if resource in actor.resources]
    owner = random.choice(owners)
    strangers = [one for one in owners if one is not owner]
    if not strangers:
        yield owner.login.account.name, FOREIGN_READ, NOT_TRIED, "no second account has such records"
        return
    yield from probe_records(random.choice(strangers), owner, resource, run_id, pause)


@dataclass(frozen=True)
class _Streams:
    """One who is told of its changes, of records of which kind, and a stranger of the same class."""

    owner: Actor
    resource: Declaration
    stranger: Actor | None

    @classmethod
    def of(cls, awake: Sequence[Actor], actor: Actor | None, run_id: str, random: Random) -> _Streams | None:
        """Preferably one with a connection that was opened for this, else `actor`, whose tokens are tried."""
        owners = [
            (one, resource)
            for one in awake
            for resource in one.resources
            if getattr(one.user, "stream", None) is not None and resource.private and resource.writes
        ]
        if not owners:
            return None
        connected = [one for one in owners if one[0].login.account.name in opened(run_id)]
        same = [one for one in owners if one[0] is actor]
        owner, resource = random.choice(connected or same or owners)
        strangers = [one for one, other in owners if one is not owner and other is resource]
        return cls(owner, resource, random.choice(strangers) if strangers else None)


def _sessions(
    run: RunAccounts, actor: Actor, run_id: str, order: IsolationOrder, pause: Callable[[], None]
) -> Iterator[Said]:
    """What needs a login: as an account without a user, else as a user's own where the order says so."""
    if run.pool.left:
        number = run.pool.take()
        user = type(actor.user)
        try:
            account = run.account(number, user.account_name, user.account_password)
            yield from _as_account(account, actor, run_id, pause)
        finally:
            run.pool.give_back(number)
    elif order.own_accounts:
        yield from _as_account(actor.login.account, actor, run_id, pause)
    else:
        why = "every account has a user, whose session is left alone"
        for kind in (MISSING_SCOPE, REVOKED):
            yield actor.login.account.name, kind, NOT_TRIED, why


def _as_account(account: Account, valid: Actor, run_id: str, pause: Callable[[], None]) -> Iterator[Said]:
    """In a session that no user shares."""
    login = valid.login
    session = login.session.another()
    try:
        spare = replace(valid, login=Login(login.auth, account, session))
        yield from probe_sessions(spare, valid, run_id, pause)
    finally:
        session.close()
