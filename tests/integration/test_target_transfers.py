"""Transfers move money between an account's own wallets and never change its sum."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

import pytest

from tests.fix_target import Client

pytestmark = pytest.mark.integration


def order(source: int, target: int, amount: int) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "from": source, "to": target, "amount": amount}


def balances(client: Client) -> dict[int, int]:
    return {wallet["id"]: wallet["balance"] for wallet in client.get("/wallets").json}


def test_a_transfer_moves_its_amount(account: Client) -> None:
    source, target, third = before = balances(account)
    transfer = order(source, target, 250)
    assert account.post("/transfers", transfer).status == 201
    assert balances(account) == {
        source: before[source] - 250,
        target: before[target] + 250,
        third: before[third],
    }
    assert account.get(f"/transfers/{transfer['id']}").json == transfer


def test_a_transfer_is_made_once(account: Client) -> None:
    source, target, _ = balances(account)
    transfer = order(source, target, 1)
    assert account.post("/transfers", transfer).status == 201
    after = balances(account)
    assert account.post("/transfers", transfer).status == 409
    assert balances(account) == after


def test_more_than_there_is_is_answered_409(account: Client) -> None:
    source, target, _ = before = balances(account)
    assert account.post("/transfers", order(source, target, before[source] + 1)).status == 409
    assert balances(account) == before


def test_wallets_of_another_account_are_404(account: Client, other_account: Client) -> None:
    mine, theirs = next(iter(balances(account))), next(iter(balances(other_account)))
    assert account.post("/transfers", order(mine, theirs, 1)).status == 404
    assert account.post("/transfers", order(theirs, mine, 1)).status == 404


def test_another_accounts_transfer_is_404(account: Client, other_account: Client) -> None:
    source, target, _ = balances(account)
    transfer = order(source, target, 1)
    assert account.post("/transfers", transfer).status == 201
    assert other_account.get(f"/transfers/{transfer['id']}").status == 404


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_is_positive(account: Client, amount: int) -> None:
    source, target, _ = balances(account)
    assert account.post("/transfers", order(source, target, amount)).status == 422
    assert account.post("/transfers", order(source, source, 1)).status == 422


def test_the_sum_stays_under_opposite_transfers_at_once(account: Client) -> None:
    before = balances(account)
    pairs = list(permutations(before, 2)) * 10

    def transfer(pair: tuple[int, int]) -> int:
        return account.post("/transfers", order(*pair, 3000)).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(transfer, pairs))
    after = balances(account)
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert sum(after.values()) == sum(before.values())
    assert min(after.values()) >= 0
