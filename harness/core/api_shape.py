"""The shape of an API: how accounts log in, which records they keep, and what else can be read.

Everything is found by what a document says, or by names that are common. What only a person can know is a
sentence in `decide`; what they should know is one in `said`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

from harness.core.api_auth import AuthShape, auth_of, is_account_matter
from harness.core.bodies import new_id
from harness.core.example_bodies import Example, Examples
from harness.core.openapi import Document, Operation
from harness.core.paging import PLACES, SIZES

__all__ = ["ApiShape", "ResourceShape", "shape_of"]

LARGEST_PAGE = 100
VERSIONS = ("version", "version_id", "row_version", "lock_version", "revision")
IDS = ("id", "uuid", "pk", "key", "_id")
_ITEM = re.compile(r"(?P<collection>.*)/\{(?P<parameter>[^{}/]+)\}/?")
_OTHER_USES = re.compile(
    r"/\.|metrics|docs|redoc|openapi|logout|callback|export|download|stream|events|admin|search"
)
_HEALTH = re.compile(r"health|ready|live|ping|status")

_TAKEN = frozenset(
    {"account", "auth", "call", "canary", "check", "client", "environment", "fixed_count", "host", "login"}
    | {"network_timeout", "new_id", "on_start", "on_stop", "pages", "period_s", "random", "resources", "rest"}
    | {"run_settings", "share", "start", "stop", "tasks", "wait", "wait_time", "weight", "withdraw", "write"}
)
"""Names that a user has already."""


@dataclass
class ResourceShape:
    """One kind of records: the arguments of its Resource that differ from the defaults.

    `create` is the body of a create of which a person must decide something, so that it is not sent yet.
    """

    name: str
    path: str
    arguments: dict[str, Any]
    create: dict[str, Any] | None = None
    said: list[str] = field(default_factory=list)
    decide: list[str] = field(default_factory=list)


@dataclass
class ApiShape:
    """All that was found. `pages` are paths that are simply read; `left_out` those of records that nothing is
    done with, each with the reason.
    """

    title: str
    auth: AuthShape
    resources: list[ResourceShape]
    pages: list[str]
    health: str | None
    left_out: dict[str, str]


@dataclass
class _Group:
    """The operations of one collection and of one of its records, by method; `item` is the latter's path."""

    of_all: dict[str, Operation] = field(default_factory=dict)
    of_one: dict[str, Operation] = field(default_factory=dict)
    item: str | None = None
    parameter: str = ""

    @property
    def change(self) -> Operation | None:
        """What changes a record."""
        found = self.of_one.get("PUT") or self.of_one.get("PATCH")
        return found if found is not None and found.json is not None else None

    @property
    def absent(self) -> set[str]:
        """What the service does not have, of what is done with records."""
        listing = self.of_all.get("GET")
        there = {
            "list": listing is not None and not listing.asks_for_more,
            "read": "GET" in self.of_one,
            "update": self.change is not None,
            "delete": "DELETE" in self.of_one,
        }
        return {operation for operation, is_there in there.items() if not is_there}


def shape_of(document: Document) -> ApiShape:
    """What a document says of its service; raises UsageError for broken references."""
    operations = list(document.operations())
    auth = auth_of(document, operations)
    left_out: dict[str, str] = {}
    resources = []
    for path, group in _groups(operations).items():
        if reason := _why_not(path, group, auth):
            if group.of_one or {"GET", "POST"} <= group.of_all.keys():
                left_out[path] = reason
        else:
            resources.append(_resource(document, path, group, auth))
    taken = {resource.path for resource in resources} | left_out.keys()
    pages = [one.path for one in operations if one.path not in taken and _is_page(one)]
    health = next((path for path in pages if _HEALTH.search(path.lower())), None)
    return ApiShape(document.title, auth, _named(resources), pages, health, left_out)


def _groups(operations: Iterable[Operation]) -> dict[str, _Group]:
    """The operations by collection, in the document's order; a trailing slash makes no other collection."""
    groups: dict[str, _Group] = {}
    whole = {one.path.rstrip("/"): one.path for one in operations if not one.path.rstrip("/").endswith("}")}
    for operation in operations:
        item = _ITEM.fullmatch(operation.path)
        base = item["collection"] if item else operation.path.rstrip("/")
        if not base:
            continue
        group = groups.setdefault(whole.get(base, base), _Group())
        if item is None:
            group.of_all[operation.method] = operation
        elif group.item in (None, operation.path):
            group.of_one[operation.method] = operation
            group.item, group.parameter = operation.path, item["parameter"]
    return groups


def _why_not(path: str, group: _Group, auth: AuthShape) -> str | None:
    """Why nothing can be done with a collection, None when something can."""
    post = group.of_all.get("POST")
    if is_account_matter(path, auth):
        return "accounts themselves: what an ordinary one may do with them is not known"
    if "{" in path:
        return "its path needs the id of another record"
    if _OTHER_USES.search(path.lower()):
        return "by its name it is for something else than keeping records"
    if post is None or post.json is None:
        return "nothing creates a record with a JSON body"
    if post.asks_for_more:
        return "to create one needs parameters besides the body"
    if {"list", "update", "delete"} <= group.absent:
        return "what is created there can be neither listed nor changed nor deleted"
    if {"list", "read"} <= group.absent:
        return "nothing reads what was created"
    return None


def _resource(document: Document, path: str, group: _Group, auth: AuthShape) -> ResourceShape:
    post, listing = group.of_all["POST"], group.of_all.get("GET")
    key, key_known = _key(document, group)
    create = Examples(document).body(post.json or {}, f"POST {path}", key)
    shape = ResourceShape(_name(path), path, {} if key == "id" else {"key": key})
    shape.decide += [f"create: {text}" for text in create.decide]
    if not key_known:
        shape.decide.append(f"key: what the id is called in answers; {key!r} is a guess")
    without = group.absent
    if create.decide:
        shape.create = create.body
        without -= {"update", "delete"}
    else:
        shape.arguments["create"] = create.body
        if not create.bears_canary:
            shape.said.append("no text has room for a canary: only what gets lost will be found")
        if group.change is not None:
            shape.arguments |= _change(document, group.change, create, key, shape)
    shape.arguments |= _reading(group, shape)
    if without:
        shape.arguments["without"] = without
    if auth.kind is None or (listing is not None and listing.secured is False):
        shape.arguments["private"] = False
        shape.said.append("anybody may list them, so nothing is probed for isolation")
    return shape


def _change(
    document: Document, change: Operation, create: Example, key: str, shape: ResourceShape
) -> dict[str, Any]:
    """How a record is updated, where that differs from the defaults."""
    schema, where = change.json or {}, f"{change.method} {change.path}"
    arguments: dict[str, Any] = {} if change.method == "PUT" else {"update_method": change.method}
    properties, required = document.properties(schema, where), document.required(schema, where)
    version = next((name for name in VERSIONS if name in required and name not in create.body), None)
    if version is not None:
        arguments["version"] = version
        shape.said.append(f"taken for optimistic locking: {version} is 1 at first, one more by each update")
    update = Examples(document).body(schema, where, omit=frozenset({version} if version else set()))
    kept = {name: value for name, value in create.body.items() if name != key}
    body = {name: value for name, value in kept.items() if name in properties}
    body |= {name: value for name, value in update.body.items() if name in required and name not in body}
    body |= {key: new_id} if key in required else {}
    body = body or update.body
    shape.decide += [f"update: {text}" for text in update.decide if text.split(":")[0] in body]
    return arguments if body == kept else {**arguments, "update": body}


def _reading(group: _Group, shape: ResourceShape) -> dict[str, Any]:
    """How pages are asked for, and where one record is, where that differs from the defaults."""
    arguments: dict[str, Any] = {}
    listing = group.of_all.get("GET")
    query = listing.query() if listing is not None else {}
    place = next((name for name in query if name in PLACES), None)
    size = next((name for name in query if name in SIZES), None)
    if place and size:
        arguments["page"] = "/".join(name for name in query if name in (place, size))
        most = (query[size].get("schema") or {}).get("maximum")
        if isinstance(most, int | float) and most < LARGEST_PAGE:
            arguments["page_size"] = int(most)
    elif size:
        shape.decide.append(f"page: the list takes {size}; nothing says how to ask for its next page")
    if group.item is not None:
        of_one = group.item.replace(f"{{{group.parameter}}}", "{id}")
        if of_one != f"{shape.path.rstrip('/')}/{{id}}":
            arguments["item"] = of_one
    return arguments


def _key(document: Document, group: _Group) -> tuple[str, bool]:
    """What the id is called in answers, and whether the document says so."""
    post = group.of_all["POST"]
    read = group.of_one.get("GET", post)
    for schema in (read.answer, post.answer, post.json):
        properties = document.properties(schema or {}, f"{read.method} {read.path}")
        for name in (*IDS, group.parameter):
            if name in properties:
                return name, True
    return "id", False


def _is_page(operation: Operation) -> bool:
    """Whether it can simply be read."""
    if operation.method != "GET" or "{" in operation.path or operation.asks_for_more:
        return False
    return operation.answer is not None and not _OTHER_USES.search(operation.words)


def _name(path: str) -> str:
    """What a person calls the records of a path: its last part that is no version."""
    parts = [part for part in path.split("/") if part and not re.fullmatch(r"v\d+|api", part)]
    name = re.sub(r"\W+", "_", parts[-1]).strip("_").lower() if parts else "records"
    name = f"_{name}" if name[:1].isdigit() else name
    return f"{name}_" if name in _TAKEN or iskeyword(name) else name


def _named(resources: list[ResourceShape]) -> list[ResourceShape]:
    """The resources, each with a name of its own."""
    seen: dict[str, int] = {}
    for resource in resources:
        seen[resource.name] = seen.get(resource.name, 0) + 1
        if seen[resource.name] > 1:
            resource.name = f"{resource.name}_{seen[resource.name]}"
    return resources
