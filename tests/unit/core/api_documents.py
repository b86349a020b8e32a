"""Builds small OpenAPI documents: only what a test is about is said."""

from collections.abc import Mapping
from typing import Any

from harness.core.openapi import Document

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ITEM = {
    "type": "object",
    "required": ["title"],
    "properties": {"id": {"type": "string", "format": "uuid"}, "title": {"type": "string"}},
}
LOGIN = {"type": "object", "properties": {"username": {"type": "string"}, "password": {"type": "string"}}}


def document(paths: Mapping[str, Any], **others: Any) -> Document:
    return Document({"openapi": "3.1.0", "paths": paths, **others}, "api.json")


def takes(schema: Any, media_type: str = JSON, **others: Any) -> dict[str, Any]:
    """An operation with a body, answered with nothing that is described."""
    return {"requestBody": {"content": {media_type: {"schema": schema}}}, **answers({}), **others}


def answers(schema: Any, status: str = "200") -> dict[str, Any]:
    return {"responses": {status: {"content": {JSON: {"schema": schema}}}}}


def query(*names: str, required: bool = False, **schema: Any) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "required": required, "schema": schema} for name in names]


def crud(path: str = "/items", create: Any = None, update: Any = None, **listing: Any) -> dict[str, Any]:
    """The paths of one kind of records."""
    create = create or ITEM
    return {
        path: {"get": {**answers({}), **listing}, "post": takes(create)},
        f"{path.rstrip('/')}/{{item_id}}": {
            "get": answers(ITEM),
            "put": takes(update or create),
            "delete": {"responses": {"204": {}}},
        },
    }
