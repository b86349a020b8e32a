"""Authentication by a session cookie, with a token against cross-site request forgery where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any, ClassVar
from urllib.parse import urlsplit

from harness.core.accounts import Account
from harness.load.auth import RATE_LIMITED, Auth, Credentials, LoginError, Send, required
from harness.load.client import failure_cause
from harness.load.http_response import Response

__all__ = ["CookieSession", "Csrf"]

_REDIRECTS = frozenset({302, 303})
_SUCCESS = frozenset(range(200, 300))


@dataclass(frozen=True)
class Csrf:
    """Where the CSRF token is read, and how it is sent back with requests that change something.

    Exactly one of `cookie`, `answer_header` and `field` is where it is read: a cookie, a header of an answer,
    or a hidden field (or `<meta>`) of a page. `page` is read before the login, `page_after` after it, where a
    login makes the token anew. It is sent as the header `header`, else as the field `send_field` of the body.
    """

    cookie: str | None = None
    answer_header: str | None = None
    field: str | None = None
    page: str | None = None
    page_after: str | None = None
    header: str | None = None
    send_field: str | None = None

    def __post_init__(self) -> None:
        if sum(place is not None for place in (self.cookie, self.answer_header, self.field)) != 1:
            raise TypeError("Csrf() takes exactly one of cookie=, answer_header= and field=")
        if self.header is None and self.send_field is None and self.field is None:
            raise TypeError("Csrf() takes header= or send_field=: how the token is sent back")
        if self.field is not None and self.page is None:
            raise TypeError("Csrf(field=…) takes page=: the page that the field is in")

    def found(self, response: Response, cookies: Mapping[str, str]) -> str | None:
        """The token that a response, or a cookie so far, holds."""
        if self.cookie is not None:
            return cookies.get(self.cookie)
        if self.answer_header is not None:
            return next(_header(response, self.answer_header), None)
        return hidden_field(response.text or "", str(self.field))

    @property
    def sent_field(self) -> str | None:
        """The field of a body that bears the token, None when a header does."""
        return None if self.header is not None else self.send_field or self.field


@dataclass(frozen=True)
class CookieSession(Auth):
    """A login that is answered with a session cookie: by a form, or by JSON with `json=True`.

    `cookie` is the session cookie's name; without it any cookie that the login sets will do. A form that
    worked is answered by a redirect, not to the login page itself; one that is shown again (200) was refused.
    `expect` gives other statuses.
    """

    path: str
    cookie: str | None = field(default=None, kw_only=True)
    json: bool = field(default=False, kw_only=True)
    username: str = field(default="username", kw_only=True)
    password: str = field(default="password", kw_only=True)
    extra: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    csrf: Csrf | None = field(default=None, kw_only=True)
    expect: frozenset[int] | None = field(default=None, kw_only=True)

    needs_password: ClassVar[bool] = True

    def log_in(self, account: Account, send: Send) -> Credentials:
        """The cookies of a fresh session, and its CSRF token."""
        credentials = self._before(account, send)
        body = {self.username: account.name, self.password: account.password, **account.fill(self.extra)}
        payload = credentials.signed("POST", {"json" if self.json else "data": body})
        response = send("POST", self.path, expect=self._expected, **payload)
        self._refuse(account, response)
        cookies = changed(credentials.cookies, response)
        name = self.cookie
        if not (name in cookies if name else any(_header(response, "Set-Cookie"))):
            what = f"the cookie {name}" if name else "a cookie"
            raise LoginError(account, f"{self._what(response)} without {what}")
        return self._afterwards(account, replace(credentials, cookies=cookies), response, send)

    def refuses(self, response: Response) -> bool:
        """A 401, or a redirect to the login page."""
        return super().refuses(response) or self._to_login(response)

    def after(self, credentials: Credentials, response: Response) -> Credentials:
        """The credentials with the cookies, and the CSRF token, that an answer has changed."""
        cookies = changed(credentials.cookies, response)
        if cookies == credentials.cookies:
            return credentials
        return self._with_token(replace(credentials, cookies=cookies), response)

    def check(self, account: Account) -> None:
        """Raise UsageError when this cannot work for such an account."""
        super().check(account)
        required(account, self.extra, "CookieSession(extra=…)")

    def _before(self, account: Account, send: Send) -> Credentials:
        """What a visitor has who has seen the login page."""
        if self.csrf is None or self.csrf.page is None:
            return Credentials()
        credentials = self._page(account, self.csrf.page, Credentials(), send)
        if not (credentials.unsafe_headers or credentials.unsafe_fields):
            raise LoginError(account, f"GET {self.csrf.page} has no CSRF token where it was said to be")
        return credentials

    def _afterwards(
        self, account: Account, credentials: Credentials, response: Response, send: Send
    ) -> Credentials:
        """The credentials with the token that goes with the session, where it is another one."""
        if self.csrf is None:
            return credentials
        credentials = self._with_token(credentials, response)
        if self.csrf.page_after is not None:
            credentials = self._page(account, self.csrf.page_after, credentials, send)
        if not (credentials.unsafe_headers or credentials.unsafe_fields):
            raise LoginError(account, f"{self._what(response)} without a CSRF token where it was said to be")
        return credentials

    def _page(self, account: Account, path: str, credentials: Credentials, send: Send) -> Credentials:
        response = send("GET", path, headers=credentials.headers_for("GET"))
        if cause := failure_cause(response):
            raise LoginError(account, f"GET {path} failed: {cause}", response.status_code)
        cookies = changed(credentials.cookies, response)
        return self._with_token(replace(credentials, cookies=cookies), response)

    def _with_token(self, credentials: Credentials, response: Response) -> Credentials:
        token = self.csrf and self.csrf.found(response, credentials.cookies)
        if not token or self.csrf is None:
            return credentials
        if self.csrf.header is not None:
            return replace(credentials, unsafe_headers={self.csrf.header: token})
        return replace(credentials, unsafe_fields={str(self.csrf.sent_field): token})

    @property
    def _expected(self) -> frozenset[int]:
        if self.expect is not None:
            return self.expect
        return _SUCCESS if self.json else _REDIRECTS

    def _refuse(self, account: Account, response: Response) -> None:
        if response.status_code == 429:
            raise LoginError(account, RATE_LIMITED)
        if cause := failure_cause(response, self._expected):
            if response.status_code == 200 and not self.json:
                cause = "HTTP 200: the form was shown again, so it was refused (or give expect=)"
            raise LoginError(account, cause, response.status_code)
        if self._to_login(response):
            raise LoginError(account, f"{self._what(response)}, a redirect back to the login page")

    def _to_login(self, response: Response) -> bool:
        """Whether the response leads to the login page."""
        pages = {self.path, self.csrf.page if self.csrf else None}
        locations = _header(response, "Location") if response.status_code in _REDIRECTS else ()
        return any(urlsplit(location).path in pages for location in locations)

    def _what(self, response: Response) -> str:
        return f"POST {self.path} answered HTTP {response.status_code}"


def changed(cookies: Mapping[str, str], response: Response) -> dict[str, str]:
    """The cookies as the response's `Set-Cookie` headers leave them (RFC 6265 §5.2).

    Domain, path and `Secure` are not looked at: all requests go to the one service.
    """
    result = dict(cookies)
    for line in _header(response, "Set-Cookie"):
        pair, *attributes = line.split(";")
        name, _, value = (part.strip() for part in pair.partition("="))
        ended = any(a.strip().lower().replace(" ", "") == "max-age=0" for a in attributes)
        if ended or not value:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def hidden_field(html: str, name: str) -> str | None:
    """The value of the first `<input>` or `<meta>` of that name."""
    finder = _Finder(name)
    finder.feed(html)
    return finder.value


class _Finder(HTMLParser):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.value: str | None = None
        self._name = name

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self.value is None and tag in ("input", "meta") and given.get("name") == self._name:
            self.value = given.get("value" if tag == "input" else "content")


def _header(response: Response, name: str) -> Iterator[str]:
    """Every line of a header of the response; none when there was no answer."""
    headers = getattr(response, "headers", None)
    found = headers.get(name) if headers is not None else None
    yield from (found,) if isinstance(found, str) else found or ()
