"""Example bodies: what a request's schema asks for, with a canary in every text that can carry one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.bodies import CanaryText, canary, holds, new_id
from harness.core.openapi import DEEPEST, Document, Schema

__all__ = ["CANARY_ROOM", "Example", "Examples"]

CANARY_ROOM = 128
"""Characters that a canary's text may need: two names, a version and a key (`core/canary.py`)."""

SHORTEST_CANARY = 40

FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00",
    "duration": "PT1H",
    "email": "somebody@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "byte": "AAAA",
    "password": "correct horse battery staple",
}
_LINK = ("_id", "Id", "_uuid", "_ids")


@dataclass
class Example:
    """A body, and the fields of which a person must say what goes there."""

    body: dict[str, Any]
    decide: list[str] = field(default_factory=list)

    @property
    def bears_canary(self) -> bool:
        """Whether some text of it tells whose it is."""
        return holds(self.body, CanaryText)


class Examples:
    """Makes example bodies from the schemas of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def body(
        self, schema: Schema, where: str, key: str | None = None, omit: frozenset[str] = frozenset()
    ) -> Example:
        """The required fields of an object, and an optional text if no required one carries a canary.

        `key` is the id that the client may choose; the fields of `omit` are filled by others.
        """
        example = Example({})
        properties = self._document.properties(schema, where)
        needed = [name for name in self._document.required(schema, where) if name not in omit]
        for name in needed:
            node = properties.get(name, {})
            if name == key and _takes_uuid(node):
                example.body[name] = new_id
            else:
                example.body[name] = self._value(name, node, where, example, 0)
        if not example.bears_canary:
            texts = (name for name, node in properties.items() if name not in omit and _carries_canary(node))
            example.body |= dict.fromkeys(list(texts)[:1], canary)
        return example

    def _value(self, name: str, node: Schema, where: str, example: Example, depth: int) -> Any:
        node = self._document.plain(node, where)
        if _carries_canary(node):
            return canary("." * int(node["minLength"])) if _longer(node) else canary
        given = _given(node)
        if given is not None:
            return given
        return self._made(name, node, where, example, depth)

    def _made(self, name: str, node: Schema, where: str, example: Example, depth: int) -> Any:
        kind = _type(node)
        if kind == "object":
            return self._object(node, where, example, depth)
        if kind == "array":
            item = self._document.plain(node.get("items") or {}, where)
            least = int(node.get("minItems") or 0)
            return [self._value(name, item, where, example, depth + 1)] * least if depth < DEEPEST else []
        if name.endswith(_LINK):
            example.decide.append(f"{name}: the id of a record that is there")
        if kind in ("integer", "number"):
            return _number(node)
        if kind == "boolean":
            return False
        if "pattern" in node:
            example.decide.append(f"{name}: a text that matches {node['pattern']}")
        if kind is None:
            example.decide.append(f"{name}: of no type that the document tells")
        return _text(node)

    def _object(self, node: Schema, where: str, example: Example, depth: int) -> dict[str, Any]:
        if depth >= DEEPEST:
            return {}  # it must hold one of its own kind, for ever
        properties = self._document.properties(node, where)
        return {
            name: self._value(name, properties.get(name, {}), where, example, depth + 1)
            for name in self._document.required(node, where)
        }


def _type(node: Schema) -> str | None:
    kind = node.get("type")
    if isinstance(kind, list):  # OpenAPI 3.1: ["string", "null"]
        kind = next((one for one in kind if one != "null"), None)
    if kind is None and ("properties" in node or "allOf" in node):
        return "object"
    return str(kind) if kind else None


def _carries_canary(node: Schema) -> bool:
    """Whether it is free text with enough room."""
    if _type(node) != "string" or {"format", "enum", "const", "pattern"} & node.keys():
        return False
    if node.get("readOnly"):  # it stands in answers alone
        return False
    return int(node.get("maxLength") or CANARY_ROOM) >= CANARY_ROOM


def _longer(node: Schema) -> bool:
    return int(node.get("minLength") or 0) > SHORTEST_CANARY


def _takes_uuid(node: Schema) -> bool:
    return _type(node) == "string" and node.get("format", "uuid") == "uuid" and "enum" not in node


def _given(node: Schema) -> Any:
    """A value that the schema names itself."""
    examples = node.get("examples")
    if isinstance(examples, Mapping):
        examples = list(examples.values())
    for value in (node.get("const"), node.get("example"), *(examples or ())[:1], node.get("default")):
        if value is not None:
            return value
    return next(iter(node.get("enum") or ()), None)


def _number(node: Schema) -> int | float:
    least, most = node.get("minimum"), node.get("maximum")
    above = node.get("exclusiveMinimum")
    if isinstance(above, bool):  # OpenAPI 3.0: a switch beside `minimum`
        above = least if above else None
    step = node.get("multipleOf") or 1
    start = above + step if above is not None else least
    value = start if start is not None else min(1, most) if most is not None else 1
    return int(value) if _type(node) == "integer" else float(value)


def _text(node: Schema) -> str:
    text = FORMATS.get(str(node.get("format")), "text")
    least, most = int(node.get("minLength") or 0), node.get("maxLength")
    text = text.ljust(least, "x")
    return text[: int(most)] if most is not None and "format" not in node else text
