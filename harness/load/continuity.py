"""Continuity of sessions: whether, after a migration, old tokens, fresh logins and fresh tokens still work.

Each is tried apart from the load, for a few accounts a second: logging in makes a service hash passwords, and
nothing that is judged may be disturbed. What an account got by its first login is tried at once: the control.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Any

import gevent
from gevent.pool import Pool
from locust.event import EventHook

from harness.clock import monotonic
from harness.core.continuity import (
    ENDED,
    FAILED,
    FIRST_USE,
    FRESH_LOGIN,
    NOT_TRIED,
    OLD_TOKEN,
    RENEWED,
    UNCLEAR,
    WORKED,
)
from harness.core.forgery import Jwt
from harness.core.plan import Plan
from harness.core.record import Tried
from harness.errors import SetupError
from harness.load.accounts import Actor, accounts_of, first_account
from harness.load.auth import RATE_LIMITED, Credentials, Issued, Login, LoginError, NoAuth
from harness.load.client import MeasuredSession, failure_cause
from harness.load.hooks import on_probe
from harness.load.http_response import Response, service_clock
from harness.load.messages import ProbeOrder
from harness.load.recorder import recorder
from harness.load.token_auth import BearerAuth

__all__ = ["ACCOUNT_WITHIN_S", "control", "probe_accounts", "try_out"]

ACCOUNT_WITHIN_S = 8.0
"""How long the probes of one account may take together; an overloaded service says nothing of sessions."""

_AGAIN_S = 0.5
"""The pause before a second try of what was not answered, or with a server error."""

_PATIENT_TRIES = 20
"""How often a login is tried again before the load while the service fails: some ten seconds."""

_WHOLE_S = 1.0
"""Date and a token's claims are told in whole seconds."""

_STILL_GOOD_S = 1.0
"""A token that ends sooner is not tried: it may end on the way."""


# before the load


def try_out(plan: Plan, users: Sequence[type[Any]], base_url: str) -> Iterator[str]:
    """Log in the first account of each class of users, and use what it got; sentences about what is odd.

    Raises SetupError when a login does not work, or what it gave is refused: no load could be made.
    """
    for user in users:
        account = first_account(plan, user)
        session = MeasuredSession(base_url, EventHook(), verified=not user.insecure)
        try:
            yield from _trial(Login(user.auth, account, session), user.path_to_probe())
        finally:
            session.close()


def _trial(login: Login, path: str | None) -> Iterator[str]:
    name = login.account.name
    try:
        credentials = _first_log_in(login)
    except LoginError as error:
        raise SetupError(f"{error}.", _REMEDY) from None
    if path is None:
        return
    response = _ask(login, credentials, path, slow_again=False)
    outcome, detail = _outcome(response, path)
    if login.auth.refuses(response):
        why = f"{detail}{_clocks(login, credentials, response)}"
        raise SetupError(f"{name} logged in, but its credentials were refused: {why}.", _REMEDY)
    if outcome != WORKED:
        yield f"{detail}, for {name}, so no token can be tried on it: set probe_path in the class of users"


def _clocks(login: Login, credentials: Credentials, response: Response) -> str:
    """What is wrong with the time of a new token by the service's own clock, "" where nothing is."""
    token = login.auth.token_of(credentials) if isinstance(login.auth, BearerAuth) else None
    said = None if token is None else Jwt.parse(token)
    if said is None or response.headers.get("Date") is None:
        return ""
    now = service_clock(response)
    end = said.claims.get("exp")
    if isinstance(end, int | float) and now - end > _WHOLE_S:
        return f"; by the service's clock (Date) the token ended {now - end:.0f} s ago (exp)"
    for claim in ("nbf", "iat"):
        instant = said.claims.get(claim)
        if isinstance(instant, int | float) and instant - now > _WHOLE_S:
            return f"; by the service's clock (Date) the token begins in {instant - now:.0f} s only ({claim})"
    return ""


def _first_log_in(login: Login) -> Credentials:
    """Patient with server errors: a service whose database was made anew meets each dead connection once."""
    for _ in range(_PATIENT_TRIES):
        try:
            return login.log_in(login.session.unrecorded)
        except LoginError as error:
            if error.status < 500:
                raise
        gevent.sleep(_AGAIN_S)
    return login.log_in(login.session.unrecorded)


_REMEDY = (
    "Correct `auth` in the locustfile, or give accounts that exist by --accounts; "
    "`harness help authentication` has the kinds."
)


def control(login: Login, path: str | None) -> None:
    """Use, apart from the load, what the account has just logged in for: what works now should later, too."""
    if login.issued is None or isinstance(login.auth, NoAuth):
        return
    name, credentials = login.account.name, login.issued.credentials
    if login.auth.asks:
        recorder.probe(name, FRESH_LOGIN, WORKED)
    if path is not None:
        response = _ask(login, credentials, path)
        outcome, detail = _outcome(response, path)
        login.answered(credentials, response)
        login.path_works = outcome == WORKED
        recorder.probe(name, FIRST_USE, outcome, detail)


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
    """Whether the account had logged in before an instant."""
    proves = not isinstance(login.auth, NoAuth)
    return proves and login.since is not None and login.since < before


def _probe_account(actor: Actor, before: float) -> None:
    current = OLD_TOKEN
    try:
        with gevent.Timeout(ACCOUNT_WITHIN_S):
            for kind, outcome, detail in _tries(actor.login, actor.probe_path, before):
                recorder.probe(actor.login.account.name, kind, outcome, detail)
                current = _NEXT.get(kind, kind)
    except gevent.Timeout:
        recorder.probe(actor.login.account.name, current, UNCLEAR, f"no answer within {ACCOUNT_WITHIN_S:g} s")


_NEXT = {OLD_TOKEN: FRESH_LOGIN, FRESH_LOGIN: FIRST_USE}


def _tries(login: Login, path: str | None, before: float) -> Iterator[Tried]:
    """The old token first: services with one session per account end it with the login that follows."""
    no_path = "" if path is not None and login.path_works else "no path is known that the account may read"
    old, why_not = _old(login, before)
    if old is None or path is None or no_path:
        yield OLD_TOKEN, NOT_TRIED, no_path or why_not
    else:
        yield OLD_TOKEN, *_outcome(_ask(login, old.credentials, path), path)
    try:
        credentials = _log_in(login)
    except LoginError as error:
        yield FRESH_LOGIN, UNCLEAR if error.cause == RATE_LIMITED else FAILED, error.cause
        return
    yield FRESH_LOGIN, *((WORKED, "") if login.auth.asks else (NOT_TRIED, "it asks nobody for its tokens"))
    if path is None or no_path:
        yield FIRST_USE, NOT_TRIED, no_path
    else:
        yield FIRST_USE, *_outcome(_ask(login, credentials, path), path)


def _old(login: Login, before: float) -> tuple[Issued | None, str]:
    """What the account held before an instant and would still hold, or why there is nothing.

    That is what it has now, or what the service refused since. What was renewed since may rightly be void.
    """
    refused_since = [issued for issued in login.refusals if issued.refused_at >= before]
    held = [issued for issued in (*refused_since, login.issued) if issued and issued.at < before]
    if not held:
        return None, RENEWED
    good = [issued for issued in held if issued.expires_at > monotonic() + _STILL_GOOD_S]
    if not good:
        return None, ENDED
    worked = [issued for issued in good if issued.worked]
    return (worked[-1], "") if worked else (None, "it had not worked before either")


def _log_in(login: Login) -> Credentials:
    """Credentials of a fresh login; a second try where the service did not refuse but fail."""
    send = login.session.unrecorded
    try:
        return login.log_in(send)
    except LoginError as error:
        if error.cause == RATE_LIMITED or 400 <= error.status < 500:
            raise
    gevent.sleep(_AGAIN_S)
    return login.log_in(send)


def _ask(login: Login, credentials: Credentials, path: str, *, slow_again: bool = True) -> Response:
    """The answer for `path`; of a second try where the service did not refuse but fail. `slow_again` says
    whether it may use up its deadline twice.
    """
    headers = credentials.headers_for("GET")
    response = login.session.unrecorded("GET", path, headers=headers)
    if 0 < response.status_code < 500 or (isinstance(response.error, TimeoutError) and not slow_again):
        return response
    gevent.sleep(_AGAIN_S)
    return login.session.unrecorded("GET", path, headers=headers)


def _outcome(response: Response, path: str) -> tuple[str, str]:
    """Outcome and detail of a probe, by the answer."""
    if response.status_code == 429:
        return UNCLEAR, f"GET {path}: {RATE_LIMITED}"
    cause = failure_cause(response)
    return (FAILED, f"GET {path}: {cause}") if cause else (WORKED, "")
