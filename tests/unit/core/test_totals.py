"""The sum of an account's amounts: exact, and the same whenever it is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.bodies import ShapeError
from harness.core.record import FinalRead, Total
from harness.core.timeline import Window
from harness.core.totals import TotalsDeclaration, judge_totals, total_of
from harness.errors import UsageError
from tests.fix_ledger import a_total

WALLETS = TotalsDeclaration("/wallets", amount="balance")


def at_the_end(amount: str, stored: str | None = None, account: str = "ada") -> FinalRead:
    totals = (Total("wallets", amount, 3),)
    in_database = None if stored is None else (Total("wallets", stored, 3),)
    return FinalRead(account, 99.0, (), totals=totals, stored_totals=in_database)


@pytest.mark.parametrize(
    ("balances", "amount"),
    [
        ([1, 2, 3], "6"),
        (["0.10", "0.20"], "0.3"),
        ([0.1, 0.2], "0.3"),
        ([10**30, 1], str(10**30 + 1)),
        ([100], "100"),
        ([-5, 5.0], "0"),
        ([], "0"),
    ],
)
def test_the_sum_is_exact(balances: list[Any], amount: str) -> None:
    total = total_of([{"balance": balance} for balance in balances], WALLETS)
    assert (total.amount, total.count) == (amount, len(balances))


@pytest.mark.parametrize("balance", [None, True, "much", [], "NaN", float("inf")])
def test_what_is_no_amount_is_not_added(balance: Any) -> None:
    with pytest.raises(ShapeError, match="no number 'balance'"):
        total_of([{"balance": balance}], WALLETS)


def test_a_total_that_stays_is_checked_at_every_read_and_at_the_end() -> None:
    found = judge_totals([a_total(at=5.0), a_total(at=9.0)], [at_the_end("30000", "30000")])
    assert (found.checked, found.wrong, found.offenders, found.unread) == (3, 0, (), ())


def test_a_total_that_was_read_once_is_not_checked() -> None:
    assert judge_totals([], [at_the_end("30000")]).checked == 0


@pytest.mark.parametrize(
    ("final", "why"),
    [
        (at_the_end("29990"), "30000 at 5.00 s, 29990 at 99.00 s by the final read"),
        (at_the_end("30000", "29990"), "30000 at 5.00 s, 29990 at 99.00 s by the database"),
    ],
)
def test_a_total_that_changed_is_told_with_where(final: FinalRead, why: str) -> None:
    found = judge_totals([a_total(at=5.0)], [final])
    assert found.wrong == 1
    (offender,) = found.offenders
    assert (offender.kind, offender.account, offender.key, offender.why) == ("total", "ada", "wallets", why)


def test_accounts_are_compared_with_themselves() -> None:
    reads = [a_total("1", at=1.0), a_total("2", at=2.0, account="bob"), a_total("1", at=3.0)]
    assert judge_totals(reads, [at_the_end("1"), at_the_end("2", account="bob")]).wrong == 0


def test_an_account_that_was_not_asked_at_the_end_is_named() -> None:
    assert judge_totals([a_total(), a_total(at=40.0)], []).unread == ("ada",)


@pytest.mark.parametrize(
    ("at", "count", "wrong", "absent"), [(31.0, 0, 0, 1), (33.0, 0, 1, 0), (31.0, 3, 1, 0)]
)
def test_amounts_may_be_absent_while_their_table_is_replaced(
    at: float, count: int, wrong: int, absent: int
) -> None:
    reads = [a_total(at=20.0), a_total("0", at=at, count=count)]
    found = judge_totals(reads, [at_the_end("30000")], [Window("swap", 30.5, 32.0)])
    assert (found.wrong, found.absent) == (wrong, absent)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(2, 90)), min_size=1, max_size=30),
    st.data(),
)
def test_a_planted_change_is_found_and_nothing_else(
    reads: list[tuple[str, int]], data: st.DataObject
) -> None:
    every = [a_total(at=1.0, account=name) for name in "ab"]
    every += [a_total(at=float(at), account=name) for name, at in reads]
    ends = [at_the_end("30000", account=name) for name in "ab"]
    assert judge_totals(every, ends).wrong == 0
    name, at = data.draw(st.sampled_from(reads))
    planted = a_total("29999", at=at + 0.5, account=name)
    found = judge_totals([planted, *every], ends)
    assert (found.wrong, [one.account for one in found.offenders]) == (1, [name])


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(UsageError, match="Begin it with /"):
        TotalsDeclaration("wallets").check("Person")
