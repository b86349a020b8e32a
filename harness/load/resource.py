"""Resources: the kinds of records that users of a service keep, as a person declares them.

    class Shopper(MigrationUser):
        items = Resource("/api/v1/items/", create={"title": canary}, page="skip/limit")

On the class `items` is the declaration; on a user it is that user's records, with what can be done to them:
`self.items.create()`.
"""

from __future__ import annotations

from typing import overload

from harness.core.declaration import Declaration
from harness.load.records import Person, Records

__all__ = ["Resource"]


class Resource(Declaration):
    """A declaration that stands for a user's records on a user."""

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "name", name)

    @overload
    def __get__(self, user: None, owner: type) -> Resource: ...
    @overload
    def __get__(self, user: Person, owner: type) -> Records: ...
    def __get__(self, user: Person | None, owner: type) -> Resource | Records:
        """The declaration on a class; on a user, that user's records."""
        if user is None:
            return self
        records: Records = user.__dict__.setdefault(self.name, Records(self, user))
        return records
