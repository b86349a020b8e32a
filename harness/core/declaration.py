"""Declarations: what a person says of a kind of records that the users of a service keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.core.bodies import CanaryText, NewId, holds
from harness.core.paging import Paging
from harness.errors import UsageError

__all__ = ["Declaration"]

OPERATIONS = ("list", "read", "create", "update", "delete")


@dataclass(frozen=True, eq=False)
class Declaration:
    """A collection of records at `path`, each with an id of its own.

    `path` is where records are listed (GET) and created (POST); `item` is the path of one, `path` and its id
    unless given, with `{id}` for the id.

    `create` is the body of a new record, `update` that of a change, the same unless given. They hold
    constants and placeholders: `canary`, the text by which a record tells whose it is; `new_id`, where the
    client chooses the id (a UUID); functions, which are called with the user. `key` is the name of the id in
    the service's answers.

    `version` names an integer that a create sets to 1, an update must name, and raises by one (optimistic
    locking); without one a version is told by the canary alone.

    `page` names the list's two query parameters, as in `skip/limit`; without it the list comes whole.
    `list_in` says where the list stands in the answer where that is not clear by itself.

    `without` takes what the service does not have: `list`, `read`, `update`, `delete`. `created` are the
    statuses of a create, `refusals` those that refuse another account's record. What all accounts may see is
    not `private`: then nothing is probed for isolation.
    """

    path: str
    key: str = field(default="id", kw_only=True)
    create: Mapping[str, Any] | None = field(default=None, kw_only=True)
    update: Mapping[str, Any] | None = field(default=None, kw_only=True)
    update_method: str = field(default="PUT", kw_only=True)
    version: str | None = field(default=None, kw_only=True)
    page: str | None = field(default=None, kw_only=True)
    page_size: int = field(default=100, kw_only=True)
    list_in: str | None = field(default=None, kw_only=True)
    item: str | None = field(default=None, kw_only=True)
    without: frozenset[str] | set[str] = field(default=frozenset(), kw_only=True)
    created: frozenset[int] | set[int] = field(default=frozenset({200, 201}), kw_only=True)
    refusals: frozenset[int] | set[int] = field(default=frozenset({403, 404}), kw_only=True)
    private: bool = field(default=True, kw_only=True)
    name: str = field(default="", init=False)
    """What it is called in the class that declares it."""

    @property
    def does(self) -> tuple[str, ...]:
        """What can be done: of `list`, `read`, `create`, `update`, `delete` those that are declared."""
        absent = set(self.without)
        if self.create is None:  # nothing is changed or deleted but what the users created
            absent |= {"create", "update", "delete"}
        return tuple(operation for operation in OPERATIONS if operation not in absent)

    @property
    def writes(self) -> bool:
        """Whether there is something to enter in the ledger."""
        return "create" in self.does

    @cached_property
    def chooses_id(self) -> bool:
        """Whether the client says which id a new record gets."""
        return holds(self.create, NewId)

    @property
    def one(self) -> str:
        """The path of one record, with `{id}` for its id: what requests for one are called in reports."""
        return self.item or f"{self.path.rstrip('/')}/{{id}}"

    def path_of(self, record_id: str) -> str:
        """The path of the record with this id."""
        return self.one.replace("{id}", record_id)

    @cached_property
    def paging(self) -> Paging | None:
        """How pages are asked for, None where the list comes whole."""
        return Paging.parse(self.page) if self.page else None

    @cached_property
    def change(self) -> Mapping[str, Any]:
        """The body of an update."""
        if self.update is not None:
            return self.update
        return {name: value for name, value in (self.create or {}).items() if not holds(value, NewId)}

    @cached_property
    def marked(self) -> frozenset[str]:
        """The fields that bear a canary when a record was created or updated."""
        bodies = (self.create or {}, self.change)
        return frozenset(name for body in bodies for name in body if holds(body[name], CanaryText))

    @cached_property
    def bears_canary(self) -> bool:
        """Whether a record tells by its text whose it is."""
        return holds(self.create, CanaryText)

    @cached_property
    def rewrites_canary(self) -> bool:
        """Whether that text tells as which version of the record it was written, too."""
        return self.bears_canary and holds(self.change, CanaryText)

    @cached_property
    def tells_versions(self) -> bool:
        """Whether a record shows which of its versions it is; else only whether it is there is judged."""
        return self.version is not None or self.rewrites_canary

    @property
    def limits(self) -> tuple[str, ...]:
        """What is not done or not judged, because it is not declared: sentences without a subject."""
        return tuple(self._limits())

    def _limits(self) -> Iterator[str]:
        absent = [operation for operation in OPERATIONS if operation not in self.does]
        if absent:
            yield f"has no {', '.join(absent)} declared: that is neither done nor judged"
        if self.writes and "list" not in self.does:
            yield "is read back record by record: a create that was not acknowledged is not judged"
        if self.writes and not self.bears_canary:
            yield "bears no canary: a leak into a list is not seen, and only lost records are found"
        elif self.writes and not self.tells_versions and "update" in self.does:
            yield "shows no version: a lost update is not seen, only a lost record"
        if not self.private:
            yield "is not private: its isolation is not probed"

    def check(self, of: str) -> None:
        """Raise UsageError for what contradicts itself; `of` is the class that declares it."""
        where = f"{of}.{self.name}"
        for path in filter(None, (self.path, self.item)):
            if not path.startswith("/"):
                raise UsageError(f"{where} has the path {path!r}.", "Begin it with /: the host is --host.")
        if self.item is not None and "{id}" not in self.item:
            raise UsageError(f"{where} has the item path {self.item!r}.", "Write {id} where the id stands.")
        unknown = sorted(set(self.without) - set(OPERATIONS))
        if unknown:
            raise UsageError(
                f"{where} is without {unknown[0]!r}, which is nothing that a Resource does.",
                f"It does {', '.join(OPERATIONS)}.",
            )
        if self.update_method not in ("PUT", "PATCH", "POST"):
            raise UsageError(f"{where} updates by {self.update_method!r}.", "Give PUT, PATCH or POST.")
        if set(self.does) <= {"read"}:  # nobody knows the id of anything
            raise UsageError(f"{where} does nothing.", "Give it a create body, or leave it out.")
        if self.writes and not {"list", "read"} & set(self.does):
            raise UsageError(
                f"{where} is written, but neither list nor read: what becomes of a write cannot be seen.",
                "Take one of them out of `without`, or write by tasks of your own with self.call().",
            )
        if self.version is not None and "read" not in self.does:
            raise UsageError(
                f"{where} has a version, but no read: after a conflict nobody could learn it.",
                "Leave out one of the two.",
            )
        try:
            _ = self.paging
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", error.remedy) from None
