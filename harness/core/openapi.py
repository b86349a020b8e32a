"""An OpenAPI 3 document: its references followed, its operations listed. What it means is `api_shape`'s.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.errors import UsageError

__all__ = ["Document", "Operation", "Schema"]

METHODS = ("get", "post", "put", "patch", "delete")

DEEPEST = 20

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """One method of one path, with its references followed. `secured` is None where nothing is said of it."""

    method: str
    path: str
    node: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]
    json: Schema | None  # of the request's body
    form: Schema | None
    answer: Schema | None  # of the first 2xx response that is JSON
    secured: bool | None

    @property
    def words(self) -> str:
        """What its path and id are made of, for guessing what it is about."""
        return f"{self.path} {self.node.get('operationId') or ''}".lower()

    def query(self) -> dict[str, Mapping[str, Any]]:
        """Its query parameters, by name."""
        return {one["name"]: one for one in self.parameters if one.get("in") == "query" and "name" in one}

    @property
    def asks_for_more(self) -> bool:
        """Whether it cannot be called without a value for some parameter."""
        return any(one.get("required") for one in self.parameters)


class Document:
    """A checked document; `source` is where it came from, for messages."""

    def __init__(self, tree: object, source: str) -> None:
        self.source = source
        if not isinstance(tree, Mapping):
            raise UsageError(
                f"{source} holds a {type(tree).__name__}, no OpenAPI document.",
                "Give the URL or file of the document itself: FastAPI serves it at /openapi.json.",
            )
        version = str(tree.get("openapi") or "")
        if "swagger" in tree:
            raise UsageError(
                f"{source} is Swagger {tree['swagger']}, which came before OpenAPI.",
                "Convert it to OpenAPI 3, for instance with converter.swagger.io, and give that.",
            )
        if not version.startswith("3."):
            keys = ", ".join(map(str, tree)) or "none"
            raise UsageError(
                f"{source} is of OpenAPI {version}." if version else f"{source} has only the keys: {keys}.",
                "Give the URL or file of an OpenAPI 3 document: FastAPI serves it at /openapi.json.",
            )
        self.tree: Mapping[str, Any] = tree
        if not isinstance(tree.get("paths"), Mapping) or not tree["paths"]:
            raise UsageError(f"{source} lists no paths.", "Give the document of the service itself.")

    @property
    def title(self) -> str:
        """What the service is called."""
        return str(_mapping(self.tree.get("info")).get("title") or "the service")

    @property
    def server(self) -> str | None:
        """The base URL that the document names first, None when it names none or a relative one."""
        url = self._server_url()
        return url if urlsplit(url).scheme in ("http", "https") else None

    @property
    def prefix(self) -> str:
        """What every path begins with besides."""
        return urlsplit(self._server_url()).path.rstrip("/")

    def _server_url(self) -> str:
        servers = self.tree.get("servers")
        first = servers[0] if isinstance(servers, list) and servers else {}
        return str(_mapping(first).get("url") or "")

    @property
    def security_schemes(self) -> dict[str, Mapping[str, Any]]:
        """The security schemes, by name."""
        components = _mapping(self.tree.get("components"))
        schemes = _mapping(components.get("securitySchemes"))
        return {name: self.follow(scheme, "securitySchemes") for name, scheme in schemes.items()}

    def operations(self) -> Iterator[Operation]:
        """Every operation, in the document's order; raises UsageError for a broken reference."""
        for path, item in self.tree["paths"].items():
            node = self.follow(item, path)
            for method in METHODS:
                if isinstance(node.get(method), Mapping):
                    yield self._operation(method.upper(), str(path), node, node[method])

    def _operation(
        self, method: str, path: str, item: Mapping[str, Any], node: Mapping[str, Any]
    ) -> Operation:
        where = f"{method} {path}"
        given = [
            self.follow(one, where)
            for one in (*_list(item.get("parameters")), *_list(node.get("parameters")))
        ]
        merged = {(one.get("in"), one.get("name")): one for one in given}
        body = _mapping(self.follow(node.get("requestBody") or {}, where).get("content"))
        security = node.get("security", self.tree.get("security"))
        return Operation(
            method,
            f"{self.prefix}{path}",
            node,
            tuple(merged.values()),
            self._schema(body, where, "json"),
            self._schema(body, where, "form"),
            self._answer(node, where),
            None if security is None else any(security),
        )

    def _answer(self, node: Mapping[str, Any], where: str) -> Schema | None:
        responses = _mapping(node.get("responses"))
        for status, response in responses.items():
            if str(status).startswith("2"):
                return self._schema(_mapping(self.follow(response, where).get("content")), where, "json")
        return None

    def _schema(self, content: Mapping[str, Any], where: str, kind: str) -> Schema | None:
        for media_type, node in content.items():
            if kind in media_type and isinstance(node, Mapping):
                schema = node.get("schema")
                return self.follow(schema, where) if isinstance(schema, Mapping) else {}
        return None

    def follow(self, node: Any, where: str) -> Mapping[str, Any]:
        """The node, or what its chain of references leads to; raises UsageError when that is not there."""
        seen: list[str] = []
        while isinstance(node, Mapping) and isinstance(node.get("$ref"), str):
            ref = node["$ref"]
            if ref in seen:
                raise UsageError(
                    f"{self.source}: {where} refers to {ref}, which refers to itself.", "Mend the document."
                )
            seen.append(ref)
            node = self._at(ref, where)
        return _mapping(node)

    def _at(self, ref: str, where: str) -> Any:
        if not ref.startswith("#/"):
            raise UsageError(
                f"{self.source}: {where} refers to {ref}, which lies outside of the document.",
                "Bundle it into one file first, for instance with `redocly bundle`.",
            )
        node: Any = self.tree
        for part in ref[2:].split("/"):
            node = _mapping(node).get(part.replace("~1", "/").replace("~0", "~"))
        if node is None:
            raise UsageError(
                f"{self.source}: {where} refers to {ref}, which is not there.",
                "Mend the document; `openapi-spec-validator` finds all such places.",
            )
        return node

    def properties(self, schema: Schema, where: str, depth: int = 0) -> dict[str, Schema]:
        """An object's properties, those of its `allOf` among them, with their references followed."""
        found: dict[str, Schema] = {}
        for part in _list(schema.get("allOf")) if depth < DEEPEST else ():
            found |= self.properties(self.follow(part, where), where, depth + 1)
        own = _mapping(schema.get("properties"))
        return found | {name: self.plain(node, where) for name, node in own.items()}

    def required(self, schema: Schema, where: str, depth: int = 0) -> list[str]:
        """The properties that a request must send: those that are `readOnly` stand in answers alone."""
        inherited = [
            name
            for part in (_list(schema.get("allOf")) if depth < DEEPEST else ())
            for name in self.required(self.follow(part, where), where, depth + 1)
        ]
        properties = self.properties(schema, where, depth)
        named = dict.fromkeys([*inherited, *map(str, _list(schema.get("required")))])
        return [name for name in named if not properties.get(name, {}).get("readOnly")]

    def plain(self, node: Any, where: str, depth: int = 0) -> Schema:
        """The schema without alternatives: of `anyOf` and `oneOf` the first that is not null."""
        schema = self.follow(node, where)
        if depth > DEEPEST:  # alternatives that consist of themselves
            return {}
        for word in ("anyOf", "oneOf"):
            choices = [self.follow(one, where) for one in _list(schema.get(word))]
            chosen = next((one for one in choices if one.get("type") != "null"), None)
            if chosen is not None:
                return {
                    **self.plain(chosen, where, depth + 1),
                    **{k: v for k, v in schema.items() if k != word},
                }
        parts = _list(schema.get("allOf"))
        if len(parts) == 1 and "properties" not in schema:
            return {
                **self.plain(parts[0], where, depth + 1),
                **{k: v for k, v in schema.items() if k != "allOf"},
            }
        return schema


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _list(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []
