"""The final read: after the load has stopped, everything each account is shown, read as that account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import gevent
from gevent.pool import Pool

from harness.clock import monotonic
from harness.core.canary import read_text
from harness.core.record import FinalRead, Found
from harness.load.accounts import Actor
from harness.load.auth import Login, LoginError
from harness.load.client import failure_cause

__all__ = ["read_back"]

_PARALLEL = 4
_PAGE = 100
_TRIES = 5
_PAUSE_S = 0.5


class _PageError(Exception):
    """A page could not be had within the tries."""


def read_back(actors: Iterable[Actor], canary: str) -> Iterator[FinalRead]:
    """One FinalRead per account, in the order they get done: its records that bear the run's `canary`.

    Reads `GET {collection}?limit=&after=` page by page; none of it is recorded as load. An account whose
    list could not be read to its end comes with what was found and an `error`.
    """

    def read(actor: Actor) -> FinalRead:
        return _read_account(actor.login, actor.collection, canary)

    yield from Pool(_PARALLEL).imap_unordered(read, actors)


def _read_account(login: Login, collection: str, canary: str) -> FinalRead:
    found: list[Found] = []
    error = None
    try:
        for item in _items(login, collection):
            says = read_text(item["title"])
            if says is not None and says.run == canary:
                found.append(Found(item["id"], item["version"], says.account, says.version))
    except (_PageError, KeyError, TypeError, ValueError) as problem:
        error = f"GET {collection}: {problem if isinstance(problem, _PageError) else _unknown_shape(problem)}"
    return FinalRead(login.account.name, monotonic(), tuple(found), error)


def _items(login: Login, collection: str) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        page = _page(login, collection, after)
        yield from page["items"]
        after = page["next"]
        if after is None:
            return


def _page(login: Login, collection: str, after: str | None) -> dict[str, Any]:
    query = urlencode({"limit": _PAGE} | ({"after": after} if after else {}))
    cause = ""
    for tries_before in range(_TRIES):
        gevent.sleep(_PAUSE_S * tries_before)
        try:
            credentials = login.credentials(login.session.unrecorded)
        except LoginError as error:
            cause = str(error)
            continue
        headers = credentials.headers_for("GET")
        response = login.session.unrecorded("GET", f"{collection}?{query}", headers=headers)
        cause = failure_cause(response)
        if not cause:
            page: dict[str, Any] = response.json()
            return page
        if login.auth.refuses(response):
            login.refused(credentials)
    raise _PageError(f"{cause} ({_TRIES} tries)")


def _unknown_shape(problem: Exception) -> str:
    return f"an answer of unknown shape ({type(problem).__name__})"
