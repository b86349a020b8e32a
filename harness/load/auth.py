"""How accounts prove themselves to a service, and the one object per account that holds the proof.

An `Auth` is declared once for a class of users, knows how to log in, and holds nothing. A `Login` belongs to
one account: it logs in, renews in time, and hands out what each request needs. Neither passwords nor tokens
leave this in a text.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from gevent.lock import BoundedSemaphore

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.bodies import ShapeError
from harness.core.secrets import mask
from harness.errors import UsageError
from harness.load.client import MeasuredSession, failure_cause
from harness.load.http_response import Response
from harness.load.recorder import recorder

__all__ = [
    "RATE_LIMITED",
    "Auth",
    "Credentials",
    "Issued",
    "Login",
    "LoginError",
    "NoAuth",
    "Registration",
    "Send",
    "answered_json",
    "json_object",
    "required",
]

Send = Callable[..., Response]
"""How a request for credentials is sent: one of the session's methods,
`send("POST", path, data=… | json=…, headers=…, expect=…, reader=…)`."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SUCCESS = range(200, 300)

_MARGIN_S = 2.0
"""Renewed at least so long before the end: a token's times may be whole seconds (RFC 7519 §2)."""

_REFUSALS_KEPT = 100
"""Of each account. Those after the migration count, so it must not be the first ones; nor few, as what was
held before the migration is refused first."""

RATE_LIMITED = "rate limited (HTTP 429)"
"""The cause of a LoginError that says nothing of the login itself."""

_log = logging.getLogger(__name__)


class LoginError(Exception):
    """No credentials could be had for an account; says why, without a secret.

    `status` is that of the answer, 0 where there was none or another is to blame.
    """

    def __init__(self, account: Account, cause: str, status: int = 0) -> None:
        self.cause = mask(cause)
        self.status = status
        super().__init__(f"{account.name} could not log in: {self.cause}")


@dataclass(frozen=True)
class Credentials:
    """What proves an account to the service, for `life_s` seconds from when it was had.

    `headers` go with every request. Requests that change something bear `unsafe_headers` and `unsafe_fields`
    besides (a CSRF token); fields go into a body that is a form or a JSON object.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    unsafe_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    unsafe_fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    life_s: float = math.inf

    def headers_for(self, method: str) -> dict[str, str]:
        """The headers that a request with this method needs."""
        headers = dict(self.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method.upper() not in _SAFE_METHODS:
            headers.update(self.unsafe_headers)
        return headers

    def signed(self, method: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A request's `payload` (headers, data, json …) with what proves the account; its own headers win."""
        signed = {**payload, "headers": {**self.headers_for(method), **payload.get("headers", {})}}
        if self.unsafe_fields and method.upper() not in _SAFE_METHODS:
            body = next((name for name in ("json", "data") if payload.get(name) is not None), "data")
            given = payload.get(body, {})
            if isinstance(given, Mapping):
                signed[body] = {**self.unsafe_fields, **given}
        return signed


@dataclass(frozen=True)
class Registration:
    """The call that creates an account before its first login: `json` is sent to `path`.

    Texts in `json` (or in `form`, sent as a form) may hold `{name}`, `{password}` and columns of the accounts
    file. The statuses of `exists` say that the account is there already, which is fine.
    """

    path: str
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    method: str = "POST"
    exists: frozenset[int] = frozenset({400, 409})

    def send(self, account: Account, send: Send) -> None:
        """Create the account; raises LoginError."""
        body = {"data": account.fill(self.form)} if self.form is not None else {"json": self._json(account)}
        expect = self.exists.union(_SUCCESS)
        response = send(self.method, self.path, expect=expect, **body)
        if cause := failure_cause(response, expect):
            cause = f"{self.method} {self.path} did not create it: {cause}"
            raise LoginError(account, cause, response.status_code)

    def _json(self, account: Account) -> Any:
        return account.fill(self.json or {"username": "{name}", "password": "{password}"})


@dataclass(frozen=True)
class Auth:
    """How the accounts of a class of users log in. Stateless: one object serves all of them.

    A kind of your own overrides `log_in`, which asks the service by `send` and returns Credentials.
    """

    register: Registration | None = field(default=None, kw_only=True)
    refusals: frozenset[int] = field(default=frozenset({401}), kw_only=True)
    """Statuses that say so when credentials are not, or no longer, good; some services answer 403."""

    asks: ClassVar[bool] = True
    """Whether `log_in` asks the service anything; what never does is not probed for fresh logins."""

    needs_password: ClassVar[bool] = False

    bears_token: ClassVar[bool] = False
    """Whether what proves an account is a token that the service issues or verifies, so that forged ones can
    be tried."""

    def token_of(self, credentials: Credentials) -> str | None:  # noqa: ARG002
        """The token in the credentials, None where there is none."""
        return None

    def proof_by(self, token: str) -> Credentials:
        """Credentials that bear another token, sent as the account's own is."""
        raise NotImplementedError(f"{type(self).__name__} bears no token")

    def log_in(self, account: Account, send: Send) -> Credentials:
        """Fresh credentials of the account. Raises LoginError."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to log in: override log_in()")

    def renew(self, account: Account, credentials: Credentials, send: Send) -> Credentials | None:  # noqa: ARG002
        """New credentials for those that are about to end, None where only a login gives them.

        Raises LoginError.
        """
        return None

    def create_account(self, account: Account, send: Send) -> None:
        """Create the account, if that is declared, before its first login. Raises LoginError."""
        if self.register is not None:
            self.register.send(account, send)

    def refuses(self, response: Response) -> bool:
        """Whether the response says that the credentials are not, or no longer, good."""
        return response.status_code in self.refusals

    def after(self, credentials: Credentials, response: Response) -> Credentials:  # noqa: ARG002
        """The credentials as an answer leaves them: a service may change cookies with any of its answers."""
        return credentials

    def check(self, account: Account) -> None:
        """Raise UsageError, before any load, when this cannot work for such an account."""
        if self.needs_password and not account.password:
            raise UsageError(
                f"{type(self).__name__} needs a password of each account, and {account.name} has none.",
                "Give a file with the column password by --accounts.",
            )
        if self.register is not None:
            required(account, self.register.json, "register")
            required(account, self.register.form, "register")


@dataclass(frozen=True)
class NoAuth(Auth):
    """A service that asks nobody who they are."""

    asks: ClassVar[bool] = False

    def log_in(self, account: Account, send: Send) -> Credentials:  # noqa: ARG002
        """Nothing proves anything."""
        return Credentials()

    def refuses(self, response: Response) -> bool:  # noqa: ARG002
        """A 401 is an answer like any other."""
        return False


def required(account: Account, template: Any, what: str) -> None:
    """Raise UsageError when the template names a column that the account does not have."""
    try:
        account.fill(template)
    except KeyError as error:
        raise UsageError(
            f"{what} names {{{error.args[0]}}}, and {account.name} has no such column.",
            "Give a file with it by --accounts, or correct the name.",
        ) from None


def answered_json(account: Account, response: Response, what: str) -> dict[str, Any]:
    """The JSON object that a login's response holds; raises LoginError, which names no value of it."""
    cause = failure_cause(response)
    if response.status_code == 429:
        cause = RATE_LIMITED
    if cause:
        raise LoginError(account, cause, response.status_code)
    try:
        return json_object(response)
    except ShapeError as error:
        raise LoginError(account, f"{what} answered HTTP {response.status_code}, but {error}") from None


def json_object(response: Response) -> dict[str, Any]:
    """The JSON object that an answer holds; raises ShapeError when it holds something else."""
    try:
        answer = response.json()
    except ValueError:
        raise ShapeError("no JSON") from None
    if not isinstance(answer, dict):
        raise ShapeError(f"a JSON {type(answer).__name__}, not an object")
    return answer


@dataclass(eq=False)
class Issued:
    """Credentials that were had, and until when they hold, by `clock.monotonic()`."""

    credentials: Credentials = field(repr=False)
    at: float
    renew_at: float
    expires_at: float
    spent: bool = False
    """Whether renewing them was tried and failed: a refresh token may work only once."""
    refused_at: float = math.inf
    worked: bool = False
    """Whether the service has answered a request that bore them with what was asked."""


class Login:
    """One account's credentials: what logs it in, renews them in time, and hands them out.

    `renew_share`, 0–1, is how much of their life passes before they are renewed; users differ in it, so that
    those who logged in together do not renew together.
    """

    def __init__(
        self, auth: Auth, account: Account, session: MeasuredSession, renew_share: float = 0.8
    ) -> None:
        self.auth = auth
        self.account = account
        self.session = session
        self.issued: Issued | None = None
        """What is at hand, however old."""
        self.refusals: deque[Issued] = deque(maxlen=_REFUSALS_KEPT)
        """What the service did not take though it had not ended; the last of them."""
        self.since: float | None = None
        """When the account first had credentials."""
        self.path_works = False
        """Whether a path that tokens may be tried on was answered ok (`load/continuity.py`)."""
        self._renew_share = renew_share
        self._exists = False
        # A refresh token works once: the user and its WebSocket must not spend it both.
        self._turn = BoundedSemaphore()

    def credentials(self, send: Send) -> Credentials:
        """Credentials that are good for now: logs in, or renews when it is time. Raises LoginError."""
        with self._turn:
            if self.issued is None:
                self.issued = self._log_in(send)
            elif monotonic() >= self.issued.renew_at:
                self.issued = self._renewed(send, self.issued)
            return self.issued.credentials

    def headers(self, send: Send, method: str = "GET") -> dict[str, str]:
        """The headers for one request, by credentials that are good for now. Raises LoginError."""
        return self.credentials(send).headers_for(method)

    def log_in(self, send: Send) -> Credentials:
        """Credentials of a fresh login, whatever is at hand. Raises LoginError."""
        with self._turn:
            self.issued = self._log_in(send)
            return self.issued.credentials

    def refused(self, credentials: Credentials) -> None:
        """The service did not take `credentials`: the next ones come from a login."""
        if self.issued is not None and self.issued.credentials is credentials:
            if monotonic() < self.issued.expires_at:
                self.issued.refused_at = monotonic()
                self.refusals.append(self.issued)
            self.issued = None

    def answered(self, credentials: Credentials, response: Response) -> None:
        """Take note of the answer to a request that bore `credentials`."""
        issued = self.issued
        if issued is not None and issued.credentials is credentials:
            issued.worked = issued.worked or response.status_code in _SUCCESS
            issued.credentials = self.auth.after(credentials, response)

    def _log_in(self, send: Send) -> Issued:
        self.session.cookiejar.clear()  # as a new browser: what an earlier session left proves nothing now
        if not self._exists:
            self._ask(lambda: self.auth.create_account(self.account, send))
            self._exists = True
        issued = self._keep(self._ask(lambda: self.auth.log_in(self.account, send)))
        if self.auth.asks:
            recorder.logged_in()
        return issued

    def _renewed(self, send: Send, issued: Issued) -> Issued:
        """New credentials by renewal, else by login; the old ones while they last when neither works."""
        if not issued.spent:
            try:
                renewed = self._ask(lambda: self.auth.renew(self.account, issued.credentials, send))
            except LoginError:
                issued.spent = True  # whether refused or lost on the way
            else:
                if renewed is not None:
                    return self._keep(renewed)
        try:
            return self._log_in(send)
        except LoginError:
            if monotonic() < issued.expires_at:
                return issued
            raise

    def _ask(self, question: Callable[[], Any]) -> Any:
        """The answer to a question to the service; raises LoginError, said once in the log."""
        try:
            return question()
        except LoginError as error:
            _warn(error.cause)
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            cause = f"{type(self.auth).__name__} met an answer of unknown shape ({type(error).__name__})"
            _warn(cause)
            raise LoginError(self.account, cause) from error

    def _keep(self, credentials: Credentials) -> Issued:
        life = credentials.life_s
        use_for = max(life / 2, min(life * self._renew_share, life - _MARGIN_S))
        now = monotonic()
        self.since = now if self.since is None else self.since
        return Issued(credentials, now, now + use_for, now + life)


@cache
def _warn(cause: str) -> None:
    """Say once per process what the samples do not show."""
    _log.warning("An account could not log in: %s", cause)
