"""Totals on a user: reads what its account has, and books what it comes to.

    class Person(MigrationUser):
        wallets = Totals("/wallets", amount="balance")

`self.wallets.read()` is one request; what it showed is kept in `self.wallets.records`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, overload

from harness.clock import monotonic
from harness.core.paging import records_of
from harness.core.record import Total
from harness.core.totals import TotalsDeclaration, total_of
from harness.load.answers import answer_of, warning
from harness.load.client import Reader, failure_cause
from harness.load.http_response import Response

__all__ = ["Amounts", "Totals"]

_MEND = "Mend the Totals: its amount or list_in."


class Owner(Protocol):
    """What Amounts need of their user, see `MigrationUser`."""

    def call(self, method: str, path: str, *, reader: Reader) -> Response: ...

    def check(self, response: Response, what: str) -> None: ...

    def summed(self, total: Total, since: float) -> None: ...


class Amounts:
    """One account's amounts; `records` are those that were read last."""

    def __init__(self, declared: TotalsDeclaration, user: Owner) -> None:
        self.declared = declared
        self.records: list[Mapping[str, Any]] = []
        self._user = user

    def read(self) -> None:
        """Read them all, and book their sum."""
        since, what = monotonic(), f"GET {self.declared.path}"
        response = self._user.call("GET", self.declared.path, reader=self._read_in)
        if failure_cause(response):
            return
        self._user.check(response, what)
        with warning(what, _MEND):
            self.records, total = self._read_in(response)
            self._user.summed(total, since)

    def _read_in(self, response: Response) -> tuple[list[Mapping[str, Any]], Total]:
        records = records_of(answer_of(response), self.declared.list_in)
        return records, total_of(records, self.declared)


class Totals(TotalsDeclaration):
    """A declaration that stands for an account's amounts on a user."""

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    @overload
    def __get__(self, user: None, owner: type) -> Totals: ...
    @overload
    def __get__(self, user: Owner, owner: type) -> Amounts: ...
    def __get__(self, user: Owner | None, owner: type) -> Totals | Amounts:
        """The declaration on a class; on a user, that account's amounts."""
        if user is None:
            return self
        amounts: Amounts = user.__dict__.setdefault(self.name, Amounts(self, user))
        return amounts
