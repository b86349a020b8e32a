from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.core.accounts import Account
from harness.core.canary import make_text
from harness.core.record import Found
from harness.load import final_read
from harness.load.accounts import Actor
from harness.load.auth import Credentials, Login, LoginError
from harness.load.final_read import read_back
from harness.load.token_auth import PasswordGrant
from tests.unit.load.test_client import Answer


class Shelf:
    """One account's records behind a session and a login."""

    def __init__(self, items: list[dict[str, Any]], page: int = 100) -> None:
        self.items = items
        self.page = page
        self.statuses: list[int] = []
        self.refusals: list[Credentials] = []
        self.held = Credentials({"Authorization": "Bearer token"})
        self.auth = PasswordGrant("/token")
        self.account = Account("account-0001", "secret")
        self.session = self

    def credentials(self, _send: Callable[..., Answer]) -> Credentials:
        return self.held

    def refused(self, credentials: Credentials) -> None:
        self.refusals.append(credentials)

    def unrecorded(self, _method: str, url: str, headers: dict[str, str]) -> Answer:
        assert headers == {"Authorization": "Bearer token"}
        after = parse_qs(urlsplit(url).query).get("after", [""])[0]
        rest = [item for item in self.items if item["id"] > after]
        more = len(rest) > self.page
        body = {"items": rest[: self.page], "next": rest[self.page - 1]["id"] if more else None}
        answer = Answer(self.statuses.pop(0) if self.statuses else 200)
        answer.json = lambda: body  # type: ignore[method-assign]
        return answer


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(final_read, "gevent", SimpleNamespace(sleep=pauses.append))
    return pauses


def _item(key: str, title: str, version: int = 1) -> dict[str, Any]:
    return {"id": key, "title": title, "version": version}


def _read(shelf: Shelf) -> Any:
    [read] = read_back([Actor(cast(Login, shelf), "/documents")], "run-1")
    return read


def test_only_records_of_this_run_are_found_on_all_pages() -> None:
    shelf = Shelf(
        [
            _item("a", make_text("account-0001", "run-1", 1)),
            _item("b", "Document 7 of canary:account-0001"),
            _item("c", make_text("account-0001", "run-0", 4), 4),
            _item("d", make_text("account-0001", "run-1", 2), 3),
            _item("e", make_text("account-0002", "run-1", 1)),
        ],
        page=2,
    )
    read = _read(shelf)
    assert (read.account, read.error) == ("account-0001", None)
    assert read.found == (
        Found("a", 1, "account-0001", 1),
        Found("d", 3, "account-0001", 2),
        Found("e", 1, "account-0002", 1),
    )


def test_refused_token_is_replaced_and_the_page_read_again() -> None:
    shelf = Shelf([_item("a", make_text("account-0001", "run-1", 1))])
    shelf.statuses = [401]
    read = _read(shelf)
    assert shelf.refusals == [shelf.held]
    assert len(read.found) == 1


def test_page_that_cannot_be_had_is_tried_five_times_and_then_said(pauses: list[float]) -> None:
    shelf = Shelf([])
    shelf.statuses = [503] * 5
    read = _read(shelf)
    assert read.error == "GET /documents: HTTP 503 (5 tries)"
    assert pauses == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_what_was_found_before_a_failure_is_kept() -> None:
    shelf = Shelf([_item(key, make_text("account-0001", "run-1", 1)) for key in "abc"], page=2)
    shelf.statuses = [200] + [503] * 5
    read = _read(shelf)
    assert [found.key for found in read.found] == ["a", "b"]
    assert read.error == "GET /documents: HTTP 503 (5 tries)"


def test_account_that_cannot_log_in_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf([])

    def fail(_: object) -> str:
        raise LoginError(shelf.account, "HTTP 500")

    monkeypatch.setattr(shelf, "credentials", fail)
    assert _read(shelf).error == "GET /documents: account-0001 could not log in: HTTP 500 (5 tries)"


def test_answer_of_unknown_shape_is_said() -> None:
    shelf = Shelf([{"id": "a", "name": "no title"}])
    assert _read(shelf).error == "GET /documents: an answer of unknown shape (KeyError)"
