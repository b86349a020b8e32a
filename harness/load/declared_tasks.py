"""The tasks of a user without any of its own: what its resources, totals and pages let it do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.load.records import Records
from harness.load.resource import Resource
from harness.load.totals import Amounts

__all__ = ["DeclaredTask", "declared_tasks"]

WEIGHTS = {"list": 25, "read": 35, "create": 15, "update": 20, "delete": 5, "page": 5, "total": 5}
"""How often each is done, in relation."""


@dataclass(frozen=True)
class DeclaredTask:
    """To do `operation` with the resource `name`, or to read the page, or the total, of that name."""

    name: str
    operation: str

    def __call__(self, user: Any) -> None:
        if self.operation == "page":
            user.call("GET", self.name)
        elif self.operation == "total":
            amounts: Amounts = getattr(user, self.name)
            amounts.read()
        else:
            records: Records = getattr(user, self.name)
            records.do(self.operation)


def declared_tasks(
    resources: Mapping[str, Resource], totals: Iterable[str], pages: Iterable[str]
) -> Iterator[DeclaredTask]:
    """A task for all that was declared, as often as its weight says."""
    for name, resource in resources.items():
        for operation in resource.does:
            yield from [DeclaredTask(name, operation)] * WEIGHTS[operation]
    for name in totals:
        yield from [DeclaredTask(name, "total")] * WEIGHTS["total"]
    for page in pages:
        yield from [DeclaredTask(page, "page")] * WEIGHTS["page"]
