"""Records: what one user keeps of a resource, and what it can do with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container, Iterable, KeysView, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Protocol

from harness.clock import monotonic
from harness.core.bodies import ShapeError, canaries_in, fill, is_version, record_in, version_of
from harness.core.canary import make_text
from harness.core.declaration import Declaration
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.paging import Paging, PlaceKind, records_of
from harness.load.acknowledged import Acknowledged, acknowledged
from harness.load.answers import answer_of, id_of, tells_an_id, warning
from harness.load.client import failure_cause
from harness.load.http_response import Response
from harness.load.keys import new_key
from harness.load.messages import RunSettings

__all__ = ["Person", "Records", "set_apart"]

PAGE = 20
"""How many records a person looks at."""
_ABSENT = frozenset({404, 410})
_CONFLICT = frozenset({409, 412})
_DELETED = frozenset({200, 202, 204})
_UPDATED = frozenset({200, 204})


class Person(Protocol):
    """What Records need of their user, see `MigrationUser`."""

    account: Any
    random: Random
    run_settings: RunSettings

    def call(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Container[int] = ...,
        private: bool | None = ...,
        **payload: Any,
    ) -> Response: ...

    def write(
        self,
        kind: OperationKind,
        key: uuid.UUID,
        version: int,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Container[int] = ...,
        answered: Callable[[Response], None] | None = None,
        **payload: Any,
    ) -> OperationOutcome: ...

    def created(self, key: uuid.UUID, record_id: str) -> None: ...

    def saw(self, key: uuid.UUID, shown: int, version: int, since: float) -> None: ...

    def looked_at(self, endpoint: str, key: uuid.UUID, names: KeysView[str], since: float) -> None: ...

    def share(self, resource: Declaration, record_id: str) -> None: ...

    def withdraw(self, resource: Declaration, record_id: str) -> None: ...


@dataclass(slots=True)
class Known:
    """A record that this user created: its id in the service, and the version it has, as far as is known.

    After a write without a clear end the version is None until the record is read again. Without optimistic
    locking that write may still arrive, later than any other: such a record is not `settled`, and is not
    written again.
    """

    id: str
    version: int | None
    settled: bool = True


class Records:
    """One user's records, in the order in which they were created; it may do whatever is declared."""

    def __init__(self, resource: Declaration, user: Person) -> None:
        self.resource = resource
        self.known: dict[uuid.UUID, Known] = {}
        self._user = user
        self._listed: list[str] = []
        self._keys: dict[str, uuid.UUID] = {}  # by id; of what was deleted too, where an id comes only once

    def do(self, operation: str) -> None:
        """`list`, `read`, `create`, `update` or `delete`."""
        tasks = {
            "list": self.list,
            "read": self.read,
            "create": self.create,
            "update": self.update,
            "delete": self.delete,
        }
        tasks[operation]()

    def list(self) -> None:
        """Look at a page of the account's records: the first, or from a random id on."""
        resource, paging = self.resource, self.resource.paging
        query = f"?{paging.query(self._place(paging), min(PAGE, resource.page_size))}" if paging else ""
        what, since = f"GET {resource.path}", monotonic()
        response = self._user.call(
            "GET",
            f"{resource.path}{query}",
            name=resource.path,
            private=resource.private,
            reader=self._listed_in,
        )
        if failure_cause(response):
            return
        with warning(what):
            records = self._listed_in(response)
            self._saw(what, records, since)
            self._listed = [str(r[resource.key]) for r in records if resource.key in r] or self._listed

    def read(self, key: uuid.UUID | None = None) -> None:
        """Read one record: `key`, or one that this user created or was shown in a list."""
        resource, known = self.resource, self.known.get(key) if key else None
        record_id = known.id if known else self._any_id()
        if record_id is None:
            self.do("list" if "list" in resource.does else "create")
            return
        since = monotonic()
        response = self._user.call(
            "GET",
            resource.path_of(record_id),
            name=resource.one,
            private=resource.private,
            reader=self._version_in,
        )
        if response.status_code in _ABSENT and record_id in self._keys:
            self._user.saw(self._keys[record_id], 0, 0, since)
        if response.status_code == 404:
            self._forget(record_id)  # the failed read is recorded, and the ledger finds what is lost
        if failure_cause(response):
            return
        what = f"GET {resource.one}"
        known = next((mine for mine in self.known.values() if mine.id == record_id), None)
        if known is None:
            return
        with warning(what):
            if any(canaries_in(answer_of(response), resource.marked)):
                self._acknowledged.shown = True
            if resource.version is not None:
                known.version = self._version_in(response)
            self._saw(what, [record_in(answer_of(response), resource.key)], since)
        if resource.private:
            self._user.share(resource, record_id)

    def create(self) -> None:
        """Write a new record."""
        resource = self.resource
        key = new_key()
        if resource.create is None:
            raise NotImplementedError(f"{resource.name} declares no create")

        def learn(response: Response) -> None:
            what = f"POST {resource.path}"
            with warning(what):
                try:
                    record_id = str(key) if resource.chooses_id else id_of(response, resource)
                except ShapeError:
                    self._acknowledged.unidentified += 1
                    raise
                self.known[key] = Known(record_id, 1)
                if not resource.chooses_id:
                    self._user.created(key, record_id)
                self._keys[record_id] = key
                self._acknowledged.ids[key] = record_id

        self._user.write(
            OperationKind.CREATE,
            key,
            1,
            "POST",
            resource.path,
            expect=resource.created,
            reader=None if resource.chooses_id else tells_an_id,
            answered=learn,
            private=resource.private,
            json=self._body(resource.create, key, 1, str(key)),
        )

    def update(self) -> None:
        """Write the next version of one of this user's records; read it first when its version is unknown."""
        resource = self.resource
        key = self._any_settled()
        if key is None:
            self.create()
            return
        known = self.known[key]
        if known.version is None:
            self.read(key)
            return
        version = known.version + 1 if resource.tells_versions else known.version
        body = self._body(resource.change, key, version, known.id)
        if resource.version is not None:
            body = {resource.version: known.version, **body}
        known.version, known.settled = None, False
        outcome = self._user.write(
            OperationKind.UPDATE,
            key,
            version,
            resource.update_method,
            resource.path_of(known.id),
            name=resource.one,
            expect=_UPDATED | _CONFLICT if resource.version is not None else _UPDATED,
            private=resource.private,
            json=body,
        )
        if outcome is OperationOutcome.OK:
            known.version = version
        elif resource.version is None:
            known.version = version - 1 if resource.tells_versions else version
        known.settled = resource.version is not None or outcome is not OperationOutcome.INDETERMINATE

    def delete(self) -> None:
        """Delete one of this user's records, or create one when there are none."""
        resource = self.resource
        key = self._any_settled()
        if key is None:
            self.create()
            return
        known = self.known[key]
        version = known.version or 0
        self._forget(known.id)
        if not resource.chooses_id:
            self._keys.pop(known.id, None)  # the service may give the id to another record
        self._user.withdraw(resource, known.id)
        outcome = self._user.write(
            OperationKind.DELETE,
            key,
            version,
            "DELETE",
            resource.path_of(known.id),
            name=resource.one,
            expect=_DELETED,
            private=resource.private,
        )
        if outcome is OperationOutcome.FAIL:
            self.known[key] = known if resource.version is None else Known(known.id, None)
            self._keys[known.id] = key
        else:
            self._acknowledged.ids.pop(key, None)

    def _saw(self, endpoint: str, records: Iterable[Mapping[str, Any]], since: float) -> None:
        """Book which of this user's own records an answer showed, in which version, and with which names."""
        versions: dict[uuid.UUID, list[int]] = {}
        for record in records:
            key = self._keys.get(str(record.get(self.resource.key)))
            if key is not None:
                versions.setdefault(key, []).append(self._version_shown(record))
                self._user.looked_at(endpoint, key, record.keys(), since)
        for key, shown in versions.items():
            self._user.saw(key, len(shown), min(shown), since)

    def _version_shown(self, record: Mapping[str, Any]) -> int:
        """The older of the record's version and the version that its text claims, 0 when it tells neither."""
        resource, run = self.resource, self._user.run_settings.canary
        if not resource.tells_versions:
            return 1
        told = []
        if is_version(record.get(resource.version or "")):
            told.append(int(record[resource.version or ""]))
        if resource.rewrites_canary:
            claims = [one.version for one in canaries_in(record, resource.marked) if one.run == run]
            told += [max(claims)] if claims else []
        return min(told, default=0)

    def _listed_in(self, response: Response) -> Sequence[Mapping[str, Any]]:
        return records_of(answer_of(response), self.resource.list_in)

    def _version_in(self, response: Response) -> int | None:
        """The version of the record that was read, None where none is declared."""
        answer, name = answer_of(response), self.resource.version
        if name is None:
            return None
        return version_of(record_in(answer, self.resource.key), name)

    def _body(
        self, declared: Mapping[str, Any], key: uuid.UUID, version: int, record_id: str
    ) -> dict[str, Any]:
        account, run = self._user.account.name, self._user.run_settings.canary
        known_by = None if self.resource.chooses_id else key

        def text(rest: str) -> str:
            return make_text(account, run, version, rest, known_by)

        body: dict[str, Any] = fill(declared, text, record_id, self._user)
        return body

    def _place(self, paging: Paging) -> int | str | None:
        if paging.kind is PlaceKind.AFTER and self.resource.chooses_id:
            return str(uuid.UUID(int=self._user.random.getrandbits(128)))
        return paging.start

    def _any_id(self) -> str | None:
        apart = set_apart(self._user.run_settings.run_id)
        listed = (listed for listed in self._listed if listed not in apart)
        ids = (*(known.id for known in self.known.values()), *listed)
        return self._user.random.choice(ids) if ids else None

    def _any_settled(self) -> uuid.UUID | None:
        keys = [key for key, known in self.known.items() if known.settled]
        return self._user.random.choice(keys) if keys else None

    def _forget(self, record_id: str) -> None:
        self.known = {key: known for key, known in self.known.items() if known.id != record_id}
        self._listed = [listed for listed in self._listed if listed != record_id]

    @property
    def _acknowledged(self) -> Acknowledged:
        return acknowledged(self._user.run_settings.run_id)[self._user.account.name, self.resource]


@lru_cache(maxsize=1)
def set_apart(run_id: str) -> set[str]:  # noqa: ARG001 - what the cache goes by
    """The ids of records that come and go beside the load in one run; users leave them alone."""
    return set()
