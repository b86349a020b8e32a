"""The cookies of a user, as a browser keeps them: the standard library's jar, asked when needed."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import cast
from urllib.request import Request

__all__ = ["Cookies"]

_SET_COOKIE = b"set-cookie"


class Cookies(CookieJar):
    """What a service has set. `Secure` cookies go over plain HTTP too, as a service under test speaks it."""

    def __init__(self) -> None:
        super().__init__(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self.holds_any = False
        """Whether there may be cookies to send; most services set none, and asking the jar takes long."""

    def set_cookie(self, cookie: Cookie) -> None:
        """Keep a cookie."""
        self.holds_any = True
        super().set_cookie(cookie)

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Forget the cookies, or those of a domain, of a path there, or the one of that name."""
        super().clear(domain, path, name)
        self.holds_any = len(self) > 0

    def header(self, url: str) -> str | None:
        """The field `Cookie` of a request, None for none."""
        request = Request(url)
        self.add_cookie_header(request)
        return request.get_header("Cookie")

    def take(self, lines: Sequence[tuple[bytes, bytes]], url: str) -> None:
        """Keep what the head of an answer from `url` sets, and forget what it ends."""
        set_ = [value for name, value in lines if name == _SET_COOKIE]
        if set_:
            head = Message()
            for value in set_:
                head["Set-Cookie"] = value.decode("latin-1")
            self.extract_cookies(cast(HTTPResponse, _Head(head)), Request(url))


class _Head:
    """As much of a response as a jar looks at."""

    def __init__(self, head: Message) -> None:
        self._head = head

    def info(self) -> Message:
        """The header fields."""
        return self._head
