"""Accounts and their tokens: the one place that logs in. Neither passwords nor tokens leave it in a text."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from gevent.lock import BoundedSemaphore
from locust.contrib.fasthttp import FastResponse

from harness.clock import monotonic
from harness.errors import SetupError
from harness.load.client import MeasuredSession, failure_cause
from harness.load.messages import RunSettings

__all__ = ["Account", "AccountPool", "Actor", "LoginError", "PasswordGrant", "RunAccounts", "accounts_of"]

Send = Callable[..., FastResponse]
"""How a token request is sent, `send("POST", path, data=… | json=…)`: one of the session's methods."""

_SCOPE = "read write"

_MARGIN_S = 2.0
"""Refreshed at least so long before the end: a token's times may be whole seconds (RFC 7519 §2)."""


@dataclass(frozen=True, slots=True)
class Account:
    """The person in the service as whom a user acts."""

    name: str
    password: str = field(repr=False)


class AccountPool:
    """The numbers, from 1, of the accounts that one of `worker_count` workers may act as.

    Workers take every `worker_count`-th number, so that no account is ever used by two.
    """

    def __init__(self, accounts: int, worker_index: int = 0, worker_count: int = 1) -> None:
        self._accounts = accounts
        self._free = list(range(1 + worker_index, accounts + 1, worker_count))

    def take(self) -> int:
        """The lowest free number; SetupError when there is none left."""
        if not self._free:
            raise SetupError(
                f"All of this worker's accounts are taken; the service has {self._accounts}.",
                "Lower --users to the number of accounts.",
            )
        return heapq.heappop(self._free)

    def give_back(self, number: int) -> None:
        """Free an account whose user has ended."""
        heapq.heappush(self._free, number)


class LoginError(Exception):
    """No token could be had for an account; says why, without the secret."""


@dataclass(slots=True)
class _Tokens:
    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    refresh_at: float
    expires_at: float


class PasswordGrant:
    """One account's tokens, by OAuth 2.0's password grant and refresh (RFC 6749 §4.3, §6).

    `refresh_share`, 0–1, is how much of a token's life passes before it is refreshed; users differ in it, so
    that those who logged in together do not refresh together.
    """

    def __init__(self, account: Account, session: MeasuredSession, refresh_share: float = 0.8) -> None:
        self.account = account
        self.session = session
        self._refresh_share = refresh_share
        self._tokens: _Tokens | None = None
        # A refresh token works once: the user and its WebSocket must not spend it both.
        self._turn = BoundedSemaphore()

    @property
    def current(self) -> str | None:
        """The access token at hand, however old."""
        return self._tokens.access if self._tokens else None

    def token(self, send: Send) -> str:
        """A token that is good for now: logs in, or refreshes when it is time. Raises LoginError."""
        with self._turn:
            if self._tokens is None:
                self._tokens = self._log_in(send)
            elif monotonic() >= self._tokens.refresh_at:
                self._tokens = self._refresh(send, self._tokens)
            return self._tokens.access

    def refused(self, token: str) -> None:
        """The service did not take `token`: the next one comes from a login."""
        if self.current == token:
            self._tokens = None

    def _log_in(self, send: Send) -> _Tokens:
        form = {
            "grant_type": "password",
            "username": self.account.name,
            "password": self.account.password,
            "scope": _SCOPE,
        }
        return _granted(send("POST", "/token", data=form), self.account, self._refresh_share)

    def _refresh(self, send: Send, tokens: _Tokens) -> _Tokens:
        """New tokens by refresh, else by login; the old ones while they last when neither works."""
        try:
            if tokens.refresh is None:
                return self._log_in(send)
            answer = send("POST", "/token/refresh", json={"refresh_token": tokens.refresh})
            return _granted(answer, self.account, self._refresh_share)
        except LoginError:
            # Whether refused or lost on the way, the refresh token may be spent.
            tokens.refresh = None
        try:
            return self._log_in(send)
        except LoginError:
            if monotonic() < tokens.expires_at:
                return tokens
            raise


def _granted(response: FastResponse, account: Account, refresh_share: float) -> _Tokens:
    """The tokens of a response; raises LoginError when it has none."""
    cause = failure_cause(response)
    if cause:
        raise LoginError(f"{account.name} could not log in: {cause}")
    grant = response.json()
    life = float(grant.get("expires_in", "inf"))
    use_for = max(life / 2, min(life * refresh_share, life - _MARGIN_S))
    now = monotonic()
    return _Tokens(grant["access_token"], grant.get("refresh_token"), now + use_for, now + life)


@dataclass(frozen=True, slots=True)
class Actor:
    """An account that was used, and the path of the collection its records are in."""

    grant: PasswordGrant
    collection: str


@dataclass(frozen=True)
class RunAccounts:
    """What this process's users share during one run: the free accounts, and everyone who acted, by name."""

    pool: AccountPool
    actors: dict[str, Actor] = field(default_factory=dict)


@lru_cache(maxsize=1)
def accounts_of(settings: RunSettings) -> RunAccounts:
    """The accounts of the run with these settings; a new run begins with all of them free."""
    return RunAccounts(AccountPool(settings.accounts, settings.worker_index, settings.worker_count))
