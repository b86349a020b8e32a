"""Probes of records: what a stranger is shown of, and can do to, a record that is not its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence

from harness.core.bodies import ShapeError
from harness.core.canary import foreign
from harness.core.declaration import Declaration
from harness.core.isolation import (
    ERROR,
    FAILED,
    FOREIGN_DELETE,
    FOREIGN_LIST,
    FOREIGN_READ,
    FOREIGN_UPDATE,
    LEAKED,
    NOT_TRIED,
    OWNER,
    REFUSED,
    SWAPPED_ID,
    WORKED,
    Shown,
    judge_change,
)
from harness.core.paging import PlaceKind, records_of
from harness.core.record import Said, Tried
from harness.load.accounts import Actor
from harness.load.answers import answer_of
from harness.load.auth import LoginError
from harness.load.bait import Ask, Bait, NoRecordError
from harness.load.client import failure_cause
from harness.load.foreign_reads import judge_foreign_read
from harness.load.http_response import Response

__all__ = ["probe_records"]


def probe_records(
    stranger: Actor, owner: Actor, resource: Declaration, run: str, pause: Callable[[], None]
) -> Iterator[Said]:
    """Set a stranger on a record of `owner`; `pause` is called before each request.

    What is not declared is not tried, and said to be so.
    """
    ask = Ask(pause)
    theirs = Bait(owner, resource, run, ask)
    name = stranger.login.account.name
    try:
        theirs.create()
        for kind, outcome, detail in _tries(stranger, theirs, ask):
            who = owner.login.account.name if kind == OWNER else name
            yield who, kind, outcome, detail
    except (LoginError, NoRecordError) as error:
        yield name, FOREIGN_READ, NOT_TRIED, f"there was no record to try it on: {error}"


def _tries(stranger: Actor, theirs: Bait, ask: Ask) -> Iterator[Tried]:
    """Each probe and each control; a refusal without its control says nothing."""
    resource = theirs.resource
    before = theirs.shown()
    yield OWNER, WORKED if before.there else FAILED, f"GET {resource.one}: HTTP {before.status}"
    yield _read(stranger, theirs, before, ask)
    yield from _list(stranger, theirs, ask)
    if "update" in resource.does:
        response = theirs.change(stranger, theirs.path)
        changed = _changed(FOREIGN_UPDATE, theirs, before, response, f"{resource.update_method} of it")
        tried = [changed, *_swaps(stranger, theirs, ask)]
        yield from _controlled(tried, _update_by_owner(theirs))
    if "delete" in resource.does:
        before = theirs.shown()
        response = ask(stranger, "DELETE", theirs.path)
        tried = [_changed(FOREIGN_DELETE, theirs, before, response, "DELETE of it")]
        yield from _controlled(tried, theirs.remove())


def _controlled(tried: Sequence[Tried], failure: str) -> Iterator[Tried]:
    """What was tried, then its control: what the owner met when it did the same, "" for a success."""
    for kind, outcome, detail in tried:
        if failure and outcome == REFUSED:
            yield kind, ERROR, f"its owner could not do it either: {failure}"
        else:
            yield kind, outcome, detail
    yield OWNER, FAILED if failure else WORKED, failure


def _update_by_owner(theirs: Bait) -> str:
    """Why its owner could not change it, "" when it could."""
    before = theirs.shown()
    cause = failure_cause(theirs.change(theirs.owner, theirs.path))
    if cause or before.state is None:
        return cause
    return "" if theirs.shown().state != before.state else "its change is not shown"


def _read(stranger: Actor, theirs: Bait, before: Shown, ask: Ask) -> Tried:
    response = ask(stranger, "GET", theirs.path)
    status = response.status_code
    outcome, detail = judge_foreign_read(status, before.status, theirs.resource.refusals)
    if _shows(response, theirs):
        outcome, detail = LEAKED, f"its answer showed another account's record (HTTP {status})"
    return FOREIGN_READ, outcome, detail and f"GET {theirs.resource.one}: {detail}"


def _list(stranger: Actor, theirs: Bait, ask: Ask) -> Iterator[Tried]:
    """The page on which the record stands for its owner."""
    resource = theirs.resource
    if "list" not in resource.does:
        return
    paging, query, what = resource.paging, "", f"GET {resource.path}"
    if paging is not None:
        place: int | str | None = paging.start
        if paging.kind is PlaceKind.AFTER and resource.chooses_id:
            place = str(uuid.UUID(int=uuid.UUID(theirs.id).int - 1))
        query = f"?{paging.query(place, resource.page_size)}"
    own = ask(theirs.owner, "GET", f"{resource.path}{query}")
    if not _lists(own, theirs):
        yield FOREIGN_LIST, NOT_TRIED, f"{what}: its owner was not shown it on that page"
        return
    yield OWNER, WORKED, what
    response = ask(stranger, "GET", f"{resource.path}{query}")
    if _shows(response, theirs) or (not resource.bears_canary and _lists(response, theirs)):
        yield FOREIGN_LIST, LEAKED, f"{what} showed another account's record"
    elif 200 <= response.status_code < 300 or response.status_code in resource.refusals:
        yield FOREIGN_LIST, REFUSED, ""
    else:
        yield FOREIGN_LIST, ERROR, f"{what}: HTTP {response.status_code}"


def _swaps(stranger: Actor, theirs: Bait, ask: Ask) -> Iterator[Tried]:
    """The stranger's own id in the path with the other's in the body, the reverse, a create under that id.

    The stranger may change its own record as it likes: only what became of the other's counts.
    """
    resource = theirs.resource
    own = Bait(stranger, resource, theirs.run, ask)
    try:
        own.create()
    except NoRecordError as error:
        yield SWAPPED_ID, NOT_TRIED, str(error)
        return
    method, key = resource.update_method, resource.key
    before = theirs.shown()
    response = own.change(stranger, own.path, **{key: theirs.id})
    yield _changed(
        SWAPPED_ID, theirs, before, response, f"{method} of its own with the other's id in the body"
    )
    before = theirs.shown()
    response = own.change(stranger, theirs.path, **{key: own.id})
    yield _changed(
        SWAPPED_ID, theirs, before, response, f"{method} of the other's with its own id in the body"
    )
    if resource.chooses_id:
        before = theirs.shown()
        body = own.body(stranger, resource.create or {}, 1, theirs.id)
        response = ask(stranger, "POST", resource.path, body)
        yield _changed(SWAPPED_ID, theirs, before, response, "POST under the other's id")
    own.remove()


def _changed(kind: str, theirs: Bait, before: Shown, response: Response, what: str) -> Tried:
    """What the answer, and the owner's next look at the record, say of a probe that would change it."""
    outcome, detail = judge_change(response.status_code, before, theirs.shown())
    if outcome != LEAKED and _shows(response, theirs):
        outcome, detail = LEAKED, f"its answer showed another account's record (HTTP {response.status_code})"
    return kind, outcome, detail and f"{theirs.resource.one}: {what}: {detail}"


def _shows(response: Response, theirs: Bait) -> bool:
    """Whether an answer to another account bears the canary of the record's owner."""
    content = response.content or b""
    if b"canary:" not in content:
        return False
    return theirs.owner.login.account.name in foreign(response.text or "", "")


def _lists(response: Response, theirs: Bait) -> bool:
    """Whether a page has the record on it, by its id."""
    if failure_cause(response):
        return False
    try:
        records = records_of(answer_of(response), theirs.resource.list_in)
    except ShapeError:
        return False
    return any(str(record.get(theirs.resource.key)) == theirs.id for record in records)
