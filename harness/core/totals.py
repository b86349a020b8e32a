"""Totals: sums that never change, as that of an account's wallets between which it moves money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from harness.core.bodies import ShapeError
from harness.core.ledger_final import Offender
from harness.core.record import FinalRead, Total, TotalRead
from harness.core.timeline import Window
from harness.errors import UsageError

__all__ = ["TotalsDeclaration", "TotalsFound", "amount_text", "judge_totals", "total_of"]

OFFENDERS = 5
"""How many accounts whose total changed are told."""

_EXACT = Context(prec=100)


@dataclass(frozen=True, eq=False)
class TotalsDeclaration:
    """A list of the account's own amounts at `path`, whose sum no request changes. `amount` is the name of
    the amount in each, a number or a text of one; `list_in` says where the list stands in the answer where
    that is not clear by itself.
    """

    path: str
    amount: str = field(default="amount", kw_only=True)
    list_in: str | None = field(default=None, kw_only=True)
    name: str = field(default="", init=False)
    """What it is called in the class that declares it."""

    def check(self, of: str) -> None:
        """Raise UsageError for what cannot be asked for; `of` is the class that declares it."""
        if not self.path.startswith("/"):
            raise UsageError(
                f"{of}.{self.name} has the path {self.path!r}.", "Begin it with /: the host is --host."
            )


def total_of(records: Sequence[Mapping[str, Any]], declared: TotalsDeclaration) -> Total:
    """The exact sum over the records; raises ShapeError when one of them has no such amount."""
    amounts = [_amount(record, declared.amount) for record in records]
    whole = Decimal(0)
    for amount in amounts:
        whole = _EXACT.add(whole, amount)
    return Total(declared.name, amount_text(whole), len(amounts))


def amount_text(amount: Decimal) -> str:
    """An amount as it is compared: the same for 1, 1.0 and 1.00."""
    return f"{amount.normalize(_EXACT):f}"


def _amount(record: Mapping[str, Any], name: str) -> Decimal:
    value = record.get(name)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if amount.is_finite() and abs(amount.adjusted()) < _EXACT.prec:  # 1E+999999 would be a long text
            return amount
    raise ShapeError(f"no number {name!r} in a record")


@dataclass(frozen=True)
class TotalsFound:
    """Reads of a total that another read could be compared with, and those of them that showed another than
    the account's first. `absent` showed fewer amounts while a migration put another table in the place of
    theirs. `unread` accounts were not asked at the end.
    """

    checked: int
    wrong: int
    absent: int
    unread: tuple[str, ...]
    offenders: tuple[Offender, ...]


@dataclass(frozen=True)
class _Seen:
    at: float
    since: float
    total: Total
    where: str


def judge_totals(
    reads: Iterable[TotalRead], final_reads: Iterable[FinalRead], swaps: Sequence[Window] = ()
) -> TotalsFound:
    """Compare each account's totals with the first that was read of them."""
    seen: dict[tuple[str, str], list[_Seen]] = {}
    for read in reads:
        one = _Seen(read.at, read.at - read.took_s, Total(read.name, read.amount, read.count), "a read")
        seen.setdefault((read.account, read.name), []).append(one)
    during, ended = set(seen), set()
    for account, one in _at_the_end(final_reads):
        seen.setdefault((account, one.total.name), []).append(one)
        ended.add((account, one.total.name))
    checked = wrong = absent = 0
    offenders = []
    for (account, name), own in sorted(seen.items()):
        first, *others = sorted(own, key=lambda one: one.at)
        excused = [one for one in others if _may_be_absent(one, first, swaps)]
        other = [one for one in others if one.total.amount != first.total.amount and one not in excused]
        checked, absent = checked + len(others) - len(excused), absent + len(excused)
        wrong += len(other)
        if other:
            offenders.append(_offender(account, name, first, other))
    unread = tuple(sorted({account for account, _ in during - ended}))
    return TotalsFound(checked, wrong, absent, unread, tuple(offenders[:OFFENDERS]))


def _at_the_end(final_reads: Iterable[FinalRead]) -> Iterator[tuple[str, _Seen]]:
    for read in final_reads:
        for total in read.totals:
            yield read.account, _Seen(read.at, read.at, total, "the final read")
        for total in read.stored_totals or ():
            yield read.account, _Seen(read.at, read.at, total, "the database")


def _may_be_absent(one: _Seen, first: _Seen, swaps: Sequence[Window]) -> bool:
    fewer = one.total.count < first.total.count
    return fewer and any(one.since <= swap.end and one.at >= swap.start for swap in swaps)


def _offender(account: str, name: str, first: _Seen, other: Sequence[_Seen]) -> Offender:
    bad = other[0]
    more = f", as did {len(other) - 1} more" if len(other) > 1 else ""
    why = (
        f"{first.total.amount} at {first.at:.2f} s, {bad.total.amount} at {bad.at:.2f} s by {bad.where}{more}"
    )
    return Offender("total", account, name, why)
