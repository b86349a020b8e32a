"""The final read: after the load has stopped, everything each account is shown, read as that account."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gevent
from gevent.pool import Pool

from harness.clock import monotonic
from harness.core.bodies import ShapeError, canaries_in, record_in, version_of
from harness.core.canary import Canary
from harness.core.declaration import Declaration
from harness.core.paging import PlaceKind, records_of
from harness.core.record import FinalRead, Found, Total
from harness.core.totals import TotalsDeclaration, total_of
from harness.load.accounts import Actor
from harness.load.acknowledged import Acknowledged, acknowledged
from harness.load.answers import answer_of
from harness.load.auth import Login, LoginError
from harness.load.client import failure_cause
from harness.load.http_response import Response
from harness.load.messages import RunSettings

__all__ = ["read_back"]

_log = logging.getLogger(__name__)

_PARALLEL = 4
_TRIES = 5
_PAUSE_S = 0.5
_ABSENT = frozenset({404, 410})


class _PageError(Exception):
    """A page could not be had within the tries."""


def read_back(actors: Iterable[Actor], settings: RunSettings) -> Iterator[FinalRead]:
    """One FinalRead per account, in the order they get done: its records that bear the run's canary.

    None of it is recorded as load. An account whose records could not all be read comes with what was found
    and an `error`.
    """
    written = acknowledged(settings.run_id)

    def read(actor: Actor) -> FinalRead:
        found: list[Found] = []
        errors = []
        reader = _Reader(actor.login)
        for resource in actor.resources:
            if not resource.writes:
                continue
            own = written[actor.login.account.name, resource]
            try:
                error = _Reading(reader, actor.login.account.name, resource, settings.canary, own).read(found)
            except Exception as broken:  # noqa: BLE001 - one account's must not end the others'
                _log.exception("The final read of %s broke off.", actor.login.account.name)
                error = f"GET {resource.path}: {type(broken).__name__}"
            errors += [error] if error else []
        totals = tuple(filter(None, (_total(reader, declared) for declared in actor.totals)))
        error = "; ".join(errors) or None
        return FinalRead(actor.login.account.name, monotonic(), tuple(found), error, totals=totals)

    yield from Pool(_PARALLEL).imap_unordered(read, actors)


def _total(reader: _Reader, declared: TotalsDeclaration) -> Total | None:
    """What the account's amounts come to, None when they could not be read."""
    try:
        records = records_of(reader.get(declared.path, frozenset()), declared.list_in)
        return total_of(records, declared)
    except (_PageError, ShapeError) as problem:
        _log.warning("GET %s could not be read at the end: %s.", declared.path, problem)
        return None


class _Reader:
    """Reads as one account, with patience, apart from the load."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def get(self, path: str, absent: frozenset[int]) -> Any:
        """The answer's JSON, None for a status in `absent`."""
        cause = ""
        for tries_before in range(_TRIES):
            gevent.sleep(_PAUSE_S * tries_before)
            try:
                response = self._try(path)
            except LoginError as error:
                cause = str(error)
                continue
            if response.status_code in absent:
                return None
            cause = failure_cause(response)
            if not cause:
                return answer_of(response)
        raise _PageError(f"{cause} ({_TRIES} tries)")

    def _try(self, path: str) -> Response:
        login = self._login
        credentials = login.credentials(login.session.unrecorded)
        response = login.session.unrecorded("GET", path, headers=credentials.headers_for("GET"))
        if login.auth.refuses(response):
            login.refused(credentials)
        return response


class _Reading:
    """The final read of one account's records of one resource."""

    def __init__(
        self, reader: _Reader, account: str, resource: Declaration, canary: str, own: Acknowledged
    ) -> None:
        self._get = reader.get
        self._account = account
        self._resource = resource
        self._canary = canary
        self._own = own
        self._keys = {record_id: key for key, record_id in own.ids.items()}

    def read(self, found: list[Found]) -> str | None:
        """Add what is found to `found`; what the list does not show is asked for by its id.

        Returns why not everything could be read.
        """
        resource = self._resource
        reads, what = "read" in resource.does, f"GET {resource.path}"
        shown = set()
        if self._own.unidentified and not self._found_by_text:
            told = f"{self._own.unidentified} of its answers told no {resource.key!r}"
            return f"POST {resource.path}: {told}, so these records cannot be looked for"
        try:
            for record in self._listed() if "list" in resource.does else ():
                one = self._found(record, last=not reads)
                if one is not None:
                    shown.add(one.key)
                    found.append(one)
            what = f"GET {resource.one}"
            for key, record_id in self._own.ids.items() if reads else ():
                record = {} if str(key) in shown else self._one(record_id)
                if record and (one := self._found(record, last=True)):
                    found.append(one)
        except (_PageError, ShapeError) as problem:
            return f"{what}: {problem}"
        return None

    @property
    def _found_by_text(self) -> bool:
        """Whether a record of which only the text is known is found: a list must show it."""
        return "list" in self._resource.does and self._resource.bears_canary

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        """The records on all pages, each id once: pages of a list without an order may overlap."""
        resource, paging = self._resource, self._resource.paging
        place: int | str | None = paging.start if paging else None
        seen: set[str] = set()
        while True:
            query = f"?{paging.query(place, resource.page_size)}" if paging else ""
            # Some services answer 404 behind the last page of a list by page numbers.
            numbered = paging is not None and paging.kind is PlaceKind.NUMBER and place != 1
            answer = self._get(f"{resource.path}{query}", _ABSENT if numbered else frozenset())
            records = [] if answer is None else records_of(answer, resource.list_in)
            if any(resource.key not in record for record in records):
                raise ShapeError(f"no {resource.key!r} in a record of the list")
            new = [record for record in records if str(record[resource.key]) not in seen]
            seen.update(str(record[resource.key]) for record in new)
            yield from new
            place = paging.following(place, answer, records, resource.key) if paging else None
            if not new or place is None:
                return

    def _one(self, record_id: str) -> Mapping[str, Any]:
        """The record of that id, empty when the service says that it is not there."""
        answer = self._get(self._resource.path_of(record_id), _ABSENT)
        return {} if answer is None else record_in(answer, self._resource.key)

    def _found(self, record: Mapping[str, Any], last: bool) -> Found | None:
        """The record, if it is one of this run's; of several canaries in it the newest version counts.

        `last` says that nobody will look at it again: a record of ours without its canary lost what was
        written, unless no answer ever bore one; then its Resource is wrong, which raises ShapeError.
        """
        resource, account = self._resource, self._account
        record_id = str(record.get(resource.key, ""))
        key = self._keys.get(record_id)
        says = [one for one in canaries_in(record, resource.marked) if one.run == self._canary]
        if says:
            newest = max(says, key=lambda one: one.version)
            theirs = newest.account != account and not resource.private
            return None if theirs else self._claimed(record, newest, newest.key or record_id)
        if key is not None and not resource.bears_canary:
            return Found(str(key), self._version(record, 1), account)
        if key is not None and last and not self._own.shown:
            raise ShapeError("no answer ever showed a record's canary: put it into a text that is shown")
        return None

    def _claimed(self, record: Mapping[str, Any], says: Canary, key: uuid.UUID | str) -> Found:
        version = self._version(record, says.version)
        content = says.version if self._resource.rewrites_canary else version
        return Found(str(key), version, says.account, content)

    def _version(self, record: Mapping[str, Any], otherwise: int) -> int:
        name = self._resource.version
        return otherwise if name is None else version_of(record, name)
