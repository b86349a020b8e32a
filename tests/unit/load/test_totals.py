import logging
from typing import Any

import pytest

from harness.core.record import Total
from harness.load import answers
from harness.load.client import Reader
from harness.load.http_response import Response
from harness.load.totals import Amounts, Totals
from tests.unit.load.test_records import answer

WALLETS = [{"id": 1, "balance": 70}, {"id": 2, "balance": 30}]


class Person:
    """A user without a wire, who gets one answer."""

    wallets = Totals("/wallets", amount="balance")

    def __init__(self, status: int, body: Any) -> None:
        self.answer = answer(status, body)
        self.requests: list[tuple[str, str]] = []
        self.totals: list[Total] = []
        self.checked: list[str] = []

    def call(self, method: str, path: str, *, reader: Reader) -> Response:
        self.requests.append((method, path))
        return self.answer

    def check(self, response: Response, what: str) -> None:
        self.checked.append(what)

    def summed(self, total: Total, since: float) -> None:
        self.totals.append(total)


def test_declaration_stands_for_the_accounts_amounts_on_a_user() -> None:
    person = Person(200, WALLETS)
    assert isinstance(person.wallets, Amounts)
    assert person.wallets is person.wallets
    assert isinstance(Person.wallets, Totals)
    assert Person.wallets.name == "wallets"


def test_read_books_the_sum_and_keeps_the_records() -> None:
    person = Person(200, WALLETS)
    person.wallets.read()
    assert person.requests == [("GET", "/wallets")]
    assert person.totals == [Total("wallets", "100", 2)]
    assert person.wallets.records == WALLETS
    assert person.checked == ["GET /wallets"]


def test_failed_read_says_nothing() -> None:
    person = Person(503, WALLETS)
    person.wallets.read()
    assert (person.totals, person.wallets.records, person.checked) == ([], [], [])


@pytest.mark.parametrize("body", [[{"id": 1}], {"detail": "maintenance"}, None])
def test_answer_of_another_shape_is_no_total_and_is_warned_of(
    body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers._warned.clear()
    person = Person(200, body)
    with caplog.at_level(logging.WARNING):
        person.wallets.read()
    assert person.totals == []
    [said] = caplog.messages
    assert said.startswith("GET /wallets: no ")
    assert said.endswith("Mend the Totals: its amount or list_in.")
