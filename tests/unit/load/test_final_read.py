import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.core.accounts import Account
from harness.core.bodies import canary, new_id
from harness.core.canary import make_text
from harness.core.declaration import Declaration
from harness.core.ledger import judge_ledger
from harness.core.operations import Operation, OperationKind, OperationOutcome
from harness.core.record import FinalRead, Found, Total
from harness.core.totals import TotalsDeclaration
from harness.load import final_read
from harness.load.accounts import Actor
from harness.load.acknowledged import acknowledged
from harness.load.auth import Credentials, Login, LoginError
from harness.load.final_read import read_back
from harness.load.messages import RunSettings
from harness.load.token_auth import PasswordGrant
from tests.fix_ledger import operations_of
from tests.unit.load.test_client import Answer

KEYS = [uuid.UUID(int=number) for number in range(1, 6)]
SETTINGS = RunSettings("run-1", "run-1", 1, 30, 80.0, 0, 1, 1000)
DOCUMENTS = Declaration(
    "/documents", create={"id": new_id, "title": canary}, version="version", page="limit/after"
)
ITEMS = Declaration("/items/", create={"title": canary}, page="skip/limit", page_size=2)


class Shelf:
    """One account's records behind a session and a login: pages as `page` says, single ones by their id."""

    def __init__(self, items: list[dict[str, Any]], page: int = 100) -> None:
        self.items = items
        self.page = page
        self.hidden: set[Any] = set()  # ids that only the list does not show
        self.statuses: list[int] = []
        self.paths: list[str] = []
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
        self.paths.append(url)
        path = urlsplit(url)
        answer = Answer(self.statuses.pop(0) if self.statuses else 200)
        record_id = path.path.removeprefix("/documents").removeprefix("/items").strip("/")
        if record_id:
            one = next((item for item in self.items if str(item["id"]) == record_id), None)
            answer.status_code = 404 if one is None else answer.status_code
            answer.__dict__["json"] = lambda: one
        else:
            body = self._list(parse_qs(path.query))
            answer.__dict__["json"] = lambda: body
        return answer

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        items = [item for item in self.items if item["id"] not in self.hidden]
        if "skip" in query:
            skip = int(query["skip"][0])
            return {"data": items[skip : skip + int(query["limit"][0])], "count": len(items)}
        rest = [item for item in items if str(item["id"]) > query.get("after", [""])[0]]
        more = len(rest) > self.page
        return {"items": rest[: self.page], "next": rest[self.page - 1]["id"] if more else None}


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(final_read, "gevent", SimpleNamespace(sleep=pauses.append))
    return pauses


@pytest.fixture(autouse=True)
def _nothing_written() -> Iterator[None]:
    acknowledged.cache_clear()
    yield
    acknowledged.cache_clear()


def _item(record_id: Any, title: str, version: int = 1) -> dict[str, Any]:
    return {"id": record_id, "title": title, "version": version}


def _mine(number: int, version: int = 1) -> dict[str, Any]:
    """A record whose id the service chose; its text bears the ledger's key."""
    return {"id": number, "title": make_text("account-0001", "run-1", version, key=KEYS[number])}


def _read(shelf: Shelf, *resources: Declaration) -> FinalRead:
    [read] = read_back([Actor(cast(Login, shelf), resources or (DOCUMENTS,))], SETTINGS)
    return read


class Purse(Shelf):
    """A shelf beside which there are wallets."""

    def __init__(self, *balances: int, statuses: tuple[int, ...] = ()) -> None:
        super().__init__([])
        self.balances = balances
        self.wallet_statuses = list(statuses)

    def unrecorded(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        if url != "/wallets":
            return super().unrecorded(method, url, headers)
        answer = Answer(self.wallet_statuses.pop(0) if self.wallet_statuses else 200)
        answer.__dict__["json"] = lambda: [{"balance": balance} for balance in self.balances]
        return answer


def _totals(purse: Purse) -> FinalRead:
    wallets = TotalsDeclaration("/wallets", amount="balance")
    [read] = read_back([Actor(cast(Login, purse), (DOCUMENTS,), None, (wallets,))], SETTINGS)
    return read


def _wrote(resource: Declaration, *numbers: int, shown: bool = False) -> None:
    own = acknowledged("run-1")["account-0001", resource]
    own.ids.update({KEYS[number]: str(number) for number in numbers})
    own.shown = shown


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


def test_records_with_the_services_ids_are_found_by_the_key_in_their_text() -> None:
    read = _read(Shelf([_mine(0), _mine(1, 4), _mine(2)]), ITEMS)
    assert read.found == (
        Found(str(KEYS[0]), 1, "account-0001", 1),
        Found(str(KEYS[1]), 4, "account-0001", 4),
        Found(str(KEYS[2]), 1, "account-0001", 1),
    )
    assert read.error is None


def test_create_that_was_carried_out_twice_is_found_twice() -> None:
    twice = [_mine(1), {**_mine(1), "id": 2}]
    assert [found.key for found in _read(Shelf(twice), ITEMS).found] == [str(KEYS[1])] * 2


def test_record_that_the_list_leaves_out_is_asked_for_by_its_id() -> None:
    shelf = Shelf([_mine(0), _mine(1)])
    shelf.hidden = {1}
    _wrote(ITEMS, 0, 1, 2)
    read = _read(shelf, ITEMS)
    assert [found.key for found in read.found] == [str(KEYS[0]), str(KEYS[1])]
    assert shelf.paths[-2:] == ["/items/1", "/items/2"]
    assert read.error is None


def test_record_that_neither_list_nor_id_shows_is_lost() -> None:
    _wrote(ITEMS, 0, 1)
    read = _read(Shelf([_mine(0)]), ITEMS)
    written = [
        Operation("account-0001", str(KEYS[n]), OperationKind.CREATE, 1, 1.0, 2.0, OperationOutcome.OK)
        for n in (0, 1)
    ]
    judged = judge_ledger(operations_of(*written), [read])
    assert (judged.lost, [offender.key for offender in judged.offenders]) == (1, [str(KEYS[1])])
    assert judge_ledger(operations_of(*written[:1]), [read]).lost == 0


def test_without_a_list_what_was_acknowledged_is_read_by_its_id() -> None:
    resource = Declaration("/items/", create={"title": canary}, without={"list"})
    shelf = Shelf([_mine(0), _mine(1)])
    _wrote(resource, 1, 2)
    read = _read(shelf, resource)
    assert [found.key for found in read.found] == [str(KEYS[1])]
    assert shelf.paths == ["/items/1", "/items/2"]


def test_record_without_a_canary_is_known_by_its_id() -> None:
    resource = Declaration("/items/", create={"product": 7})
    shelf = Shelf([{"id": 1, "product": 7}, {"id": 3, "product": 7}])
    _wrote(resource, 1, 2)
    assert _read(shelf, resource).found == (Found(str(KEYS[1]), 1, "account-0001"),)


def test_record_that_lost_its_text_is_not_found() -> None:
    shelf = Shelf([_mine(0), {"id": 1, "title": None}])
    _wrote(ITEMS, 0, 1, shown=True)
    read = _read(shelf, ITEMS)
    assert [found.key for found in read.found] == [str(KEYS[0])]
    assert read.error is None


def test_text_that_no_answer_ever_showed_is_a_fault_of_the_declaration() -> None:
    shelf = Shelf([{"id": 1, "name": "hidden text"}])
    _wrote(ITEMS, 1)
    read = _read(shelf, ITEMS)
    assert read.error == (
        "GET /items/{id}: no answer ever showed a record's canary: put it into a text that is shown"
    )


def test_what_all_may_see_is_found_for_its_writer_alone() -> None:
    resource = Declaration("/items/", create={"title": canary}, private=False)
    theirs = {"id": 1, "title": make_text("account-0002", "run-1", 1, key=KEYS[1])}
    assert [found.key for found in _read(Shelf([_mine(0), theirs]), resource).found] == [str(KEYS[0])]


def test_newest_of_several_canaries_counts() -> None:
    resource = Declaration("/items/", create={"title": canary}, update={"body": canary})
    item = {**_mine(1), "body": make_text("account-0001", "run-1", 3, key=KEYS[1])}
    assert [found.version for found in _read(Shelf([item]), resource).found] == [3]


def test_all_resources_of_an_account_are_read_and_each_failure_is_said() -> None:
    shelf = Shelf([_mine(0)])
    shelf.statuses = [200, 200] + [500] * 5
    read = _read(shelf, ITEMS, DOCUMENTS)
    assert len(read.found) == 1
    assert read.error == "GET /documents: HTTP 500 (5 tries)"


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

    def fail(_: object) -> Credentials:
        raise LoginError(shelf.account, "HTTP 500")

    monkeypatch.setattr(shelf, "credentials", fail)
    assert _read(shelf).error == "GET /documents: account-0001 could not log in: HTTP 500 (5 tries)"


def test_answer_of_unknown_shape_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "_list", lambda *_: {"ok": True})
    assert _read(Shelf([])).error == "GET /documents: no list among 'ok'"


def test_list_without_the_id_that_was_declared_is_said() -> None:
    resource = Declaration("/items/", key="uuid", create={"title": canary}, page="skip/limit")
    assert _read(Shelf([_mine(0)]), resource).error == "GET /items/: no 'uuid' in a record of the list"


@pytest.mark.parametrize(
    "resource",
    [
        Declaration("/items/", key="uuid", create={"title": canary}, without={"list"}),
        Declaration("/items/", key="uuid", create={"product": 7}),
    ],
    ids=["no list", "no canary"],
)
def test_record_whose_id_no_answer_told_is_unread_and_not_lost(resource: Declaration) -> None:
    acknowledged("run-1")["account-0001", resource].unidentified = 2
    read = _read(Shelf([]), resource)
    assert read.error == (
        "POST /items/: 2 of its answers told no 'uuid', so these records cannot be looked for"
    )
    created = OperationKind.CREATE, 1, 1.0, 2.0, OperationOutcome.OK
    written = operations_of(Operation("account-0001", str(KEYS[0]), *created))
    judged = judge_ledger(written, [read])
    assert (judged.lost, judged.unread) == (0, ("account-0001",))


def test_record_whose_id_no_answer_told_is_found_by_its_text_in_a_list() -> None:
    acknowledged("run-1")["account-0001", ITEMS].unidentified = 1
    read = _read(Shelf([_mine(0)]), ITEMS)
    assert (read.error, [found.key for found in read.found]) == (None, [str(KEYS[0])])


def test_record_without_the_version_that_was_declared_is_said() -> None:
    item = {"id": "a", "title": make_text("account-0001", "run-1", 1)}
    assert _read(Shelf([item])).error == "GET /documents: no whole number 'version' in a record"


@pytest.mark.parametrize("statuses", [(), (503, 503)])
def test_what_the_accounts_amounts_come_to_is_read_too(statuses: tuple[int, ...]) -> None:
    read = _totals(Purse(70, 30, statuses=statuses))
    assert (read.error, read.totals) == (None, (Total("", "100", 2),))


def test_total_that_cannot_be_read_leaves_the_rest_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    read = _totals(Purse(70, 30, statuses=(503,) * 9))
    assert (read.error, read.totals) == (None, ())
    assert "GET /wallets could not be read at the end: HTTP 503 (5 tries)" in caplog.text


def test_account_whose_reading_breaks_off_is_said_and_the_others_are_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = Shelf([]), Shelf([_mine(0)])

    def break_off(*_: object, **__: object) -> Answer:
        raise OverflowError("int too large")

    monkeypatch.setattr(broken, "unrecorded", break_off)
    actors = [Actor(cast(Login, shelf), (ITEMS,)) for shelf in (broken, whole)]
    reads = list(read_back(actors, SETTINGS))
    assert [(read.error, len(read.found)) for read in reads] == [("GET /items/: OverflowError", 0), (None, 1)]
    assert "broke off" in caplog.text
