"""Continuity of sessions: whether, after a migration, old tokens, fresh logins and fresh tokens still work.

Each is tried apart from the load, for a few accounts a second: logging in makes a service hash passwords, and
nothing that is judged may be disturbed. What is tried before the load is the control.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

import gevent
from gevent.pool import Pool
from locust.event import EventHook

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.continuity import FAILED, FIRST_USE, FRESH_LOGIN, NOT_TRIED, OLD_TOKEN, UNCLEAR, WORKED
from harness.core.plan import Plan
from harness.errors import SetupError
from harness.load.accounts import Actor, accounts_of, first_account
from harness.load.auth import RATE_LIMITED, Credentials, Issued, Login, LoginError, NoAuth
from harness.load.client import MeasuredSession, failure_cause
from harness.load.hooks import on_probe
from harness.load.messages import ProbeOrder
from harness.load.recorder import recorder

__all__ = ["ACCOUNT_WITHIN_S", "probe_accounts", "try_out"]

ACCOUNT_WITHIN_S = 8.0
"""How long the probes of one account may take together."""

_AGAIN_S = 0.5
"""The pause before a second try of what was not answered, or with a server error."""

_STILL_GOOD_S = 1.0
"""A token that ends sooner is not tried: it may end on the way."""

Said = tuple[str, str, str]
"""The kind of a probe, its outcome and a detail."""


# before the load


def try_out(plan: Plan, users: Sequence[type[Any]], base_url: str) -> Iterator[tuple[Account, Said]]:
    """Log in the first account of each class of users, and use what it got: the control of later probes.

    Raises SetupError when a login does not work, or its token is refused: no load could be made.
    """
    for user in users:
        account = first_account(plan, user)
        login = Login(user.auth, account, MeasuredSession(base_url, EventHook()))
        try:
            credentials = login.log_in(login.session.unrecorded)
        except LoginError as error:
            raise SetupError(f"{error}.", _REMEDY) from None
        if user.auth.asks:
            yield account, (FRESH_LOGIN, WORKED, "")
        path = user.path_to_probe()
        if path is None:
            continue
        outcome, detail = _use(login, credentials, path)
        if detail.endswith("HTTP 401"):
            raise SetupError(
                f"{account.name} logged in, but its credentials were refused: {detail}.", _REMEDY
            )
        yield account, (FIRST_USE, outcome, detail)


_REMEDY = (
    "Correct `auth` in the locustfile, or give accounts that exist by --accounts; "
    "`harness help authentication` has the kinds."
)


# after the migration


@on_probe
def _probe_ours(order: ProbeOrder) -> None:
    """Try what this process's accounts hold."""
    settings = recorder.settings
    if settings is not None:
        actors = accounts_of(settings).actors.values()
        probe_accounts(actors, order, Random(settings.seed))  # noqa: S311 - repeatable on purpose


def probe_accounts(actors: Iterable[Actor], order: ProbeOrder, random: Random) -> None:
    """Try each of some accounts that were awake, and record what came of it; ends within the order's time."""
    awake = [actor for actor in actors if _was_awake(actor.login, order.before)]
    chosen = awake if len(awake) <= order.accounts else random.sample(awake, order.accounts)
    pool, start = Pool(), monotonic()
    with gevent.Timeout(order.within_s, False):
        for number, actor in enumerate(chosen):
            gevent.sleep(max(0.0, start + number / order.per_second - monotonic()))
            pool.spawn(_probe_account, actor, order.before)
        pool.join()
    pool.kill()


def _was_awake(login: Login, before: float) -> bool:
    """Whether the account had proved itself to the service, and got what it asked for, before an instant."""
    proves = not isinstance(login.auth, NoAuth)
    return proves and login.worked_at is not None and login.worked_at < before


def _probe_account(actor: Actor, before: float) -> None:
    current = OLD_TOKEN
    try:
        with gevent.Timeout(ACCOUNT_WITHIN_S):
            for kind, outcome, detail in _tries(actor.login, actor.probe_path, before):
                recorder.probe(actor.login.account.name, kind, outcome, detail)
                current = _NEXT.get(kind, kind)
    except gevent.Timeout:
        recorder.probe(actor.login.account.name, current, FAILED, f"no answer within {ACCOUNT_WITHIN_S:g} s")


_NEXT = {OLD_TOKEN: FRESH_LOGIN, FRESH_LOGIN: FIRST_USE}


def _tries(login: Login, path: str | None, before: float) -> Iterator[Said]:
    """The old token first: services with one session per account end it with the login that follows."""
    old, why_not = _old(login, before)
    if old is None or path is None:
        yield OLD_TOKEN, NOT_TRIED, why_not if old is None else "no path to use it on is known"
    else:
        yield OLD_TOKEN, *_use(login, old.credentials, path)
    try:
        credentials = _log_in(login)
    except LoginError as error:
        yield FRESH_LOGIN, UNCLEAR if error.cause == RATE_LIMITED else FAILED, error.cause
        return
    yield FRESH_LOGIN, *((WORKED, "") if login.auth.asks else (NOT_TRIED, "it asks nobody for its tokens"))
    if path is not None:
        yield FIRST_USE, *_use(login, credentials, path)


def _old(login: Login, before: float) -> tuple[Issued | None, str]:
    """What the account held before an instant and would still hold, or why there is nothing.

    That is what it has now, or what the service refused since. What was renewed since may rightly be void.
    """
    held = [issued for issued in (*login.refusals, login.issued) if issued and issued.at < before]
    if not held:
        return None, "it was renewed since"
    good = [issued for issued in held if issued.expires_at > monotonic() + _STILL_GOOD_S]
    if not good:
        return None, "it had ended"
    worked = [issued for issued in good if issued.worked]
    return (worked[-1], "") if worked else (None, "it had not worked before either")


def _log_in(login: Login) -> Credentials:
    """Credentials of a fresh login; a second try where the service did not refuse but fail."""
    send = login.session.unrecorded
    try:
        return login.log_in(send)
    except LoginError as error:
        if error.cause == RATE_LIMITED or error.cause.startswith("HTTP 4"):
            raise
    gevent.sleep(_AGAIN_S)
    return login.log_in(send)


def _use(login: Login, credentials: Credentials, path: str) -> tuple[str, str]:
    """Outcome and detail of asking for `path`; a second try where the service did not refuse but fail."""
    for pause_s in (0.0, _AGAIN_S):
        gevent.sleep(pause_s)
        response = login.session.unrecorded("GET", path, headers=credentials.headers_for("GET"))
        if response.status_code == 429:
            return UNCLEAR, f"GET {path}: {RATE_LIMITED}"
        cause = failure_cause(response)
        if not cause:
            return WORKED, ""
        if 0 < response.status_code < 500:
            break
    return FAILED, f"GET {path}: {cause}"
