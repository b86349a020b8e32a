"""Documents: created under an id of the client's choice, updated against the version the client last saw."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Row, text
from starlette.responses import JSONResponse, Response

from harness.target.auth import Reader, Session, Writer, refused
from harness.target.changes import record_change
from harness.target.schema import REVISION, Schema
from harness.target.settings import Settings

__all__ = ["router"]

router = APIRouter()

_UNTAGGED = """id, title, body, status, size, version,
    extract(epoch FROM created_at)::float8 AS created_at,
    extract(epoch FROM updated_at)::float8 AS updated_at"""
_COLUMNS = f"{_UNTAGGED}, tags"
_ALL = f"""id, to_jsonb(documents) - 'account_id' AS row, {REVISION} AS revision"""


class Release:
    """What a release reads and writes of a document: the `columns` it shows, and those it `sets` besides.

    The shape of what it shows is known by `revision`; None where it is that of the schema.
    """

    def __init__(self, revision: str | None, columns: str, sets: Sequence[str] = ("tags",)) -> None:
        self.revision = revision
        also, values = "".join(f", {name}" for name in sets), "".join(f", :{name}" for name in sets)
        self.create = text(f"""
            INSERT INTO documents (id, account_id, title, body, status, size{also})
            VALUES (:id, :account_id, :title, :body, :status, octet_length(:body){values})
            ON CONFLICT (id) DO NOTHING
        """)  # noqa: S608 - constants of this module
        tags = "tags = coalesce(:tags, tags), " if "tags" in sets else ""
        self.update = text(f"""
            UPDATE documents SET title = :title, body = :body, status = coalesce(:status, status),
                {tags}size = octet_length(:body), version = version + 1, updated_at = now()
            WHERE id = :id AND account_id = :account_id AND version = :version
        """)  # noqa: S608 - constants of this module
        self.read = text(f"SELECT {columns} FROM documents WHERE id = :id AND account_id = :account_id")  # noqa: S608
        self.list = text(f"""
            SELECT {columns} FROM documents
            WHERE account_id = :account_id AND id > :after ORDER BY id LIMIT :limit
        """)  # noqa: S608


_RELEASES = {
    "n": Release("n", _COLUMNS),
    "n+1": Release(
        "n+1", f"{_COLUMNS}, share_id::text AS share_id, category_id", sets=("tags", "category_id")
    ),
    "n+1-untagged": Release("n+1-untagged", _UNTAGGED, sets=()),
    "all": Release(None, _ALL),
}
_VERSION = text("SELECT version FROM documents WHERE id = :id AND account_id = :account_id")
_DELETE = text("DELETE FROM documents WHERE id = :id AND account_id = :account_id RETURNING version")
_BEFORE_ALL = uuid.UUID(int=0)

Status = Literal["draft", "active", "archived"]
Tag = Annotated[str, Field(min_length=1, max_length=50)]


class Content(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    body: str = Field(max_length=100_000)


class NewDocument(Content):
    id: uuid.UUID
    status: Status = "active"
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    category_id: int = Field(default=1, ge=1, le=4)  # of release n+1; the one before does not keep it


class Revision(Content):
    version: int = Field(ge=1, le=2**31 - 2)
    status: Status | None = None
    tags: list[Tag] | None = Field(default=None, max_length=20)


async def _release(request: Request) -> Release:
    settings: Settings = request.app.state.settings
    return _RELEASES[settings.release]


InRelease = Annotated[Release, Depends(_release)]


async def _schema(request: Request) -> Schema:
    schema: Schema = request.app.state.schema
    return schema


InSchema = Annotated[Schema, Depends(_schema)]


@router.post("/documents")
async def create(document: NewDocument, caller: Writer, release: InRelease) -> Response:
    """409 whenever the id exists, with the same content or not, whoever owns it."""
    async with caller.transaction() as session:
        row = {**document.model_dump(), "account_id": session.account_id}
        if (await session.connection.execute(release.create, row)).rowcount == 0:
            raise HTTPException(409, "the id exists")
        await record_change(session, document.id, 1, "create")
    return JSONResponse({"id": str(document.id), "version": 1}, 201)


@router.get("/documents")
async def page(
    caller: Reader,
    release: InRelease,
    schema: InSchema,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: uuid.UUID = _BEFORE_ALL,
) -> Response:
    """Pages by key: `next` is the `after` of the next page, null at the end."""
    async with caller.transaction() as session:
        look_up = {"account_id": session.account_id, "after": after, "limit": limit + 1}
        rows = (await session.connection.execute(release.list, look_up)).all()
    if rows and release.revision is None:
        schema.revision = rows[0].revision
    items = [_as_json(row) for row in rows[:limit]]
    return JSONResponse({"items": items, "next": items[-1]["id"] if len(rows) > limit else None})


@router.get("/documents/{document_id}")
async def read(document_id: uuid.UUID, caller: Reader, release: InRelease, schema: InSchema) -> Response:
    cache, claims = caller.access.cache, caller.claims
    revision = release.revision or schema.revision
    found = None
    if cache is not None:
        found = await cache.find(claims.token_id, claims.account, document_id, revision)
        if found.revoked:
            raise refused()
        if found.document is not None:
            return Response(found.document, media_type="application/json")
    async with caller.transaction() as session:
        row = (await session.connection.execute(release.read, _key(session, document_id))).one_or_none()
    if row is None:
        raise _unknown()
    answer = JSONResponse(_as_json(row))
    if cache is not None and found is not None:
        shape, document = release.revision or row.revision, bytes(answer.body).decode()
        await cache.keep(claims.account, document_id, shape, document, found)
    return answer


@router.put("/documents/{document_id}")
async def update(document_id: uuid.UUID, revision: Revision, caller: Writer, release: InRelease) -> Response:
    """409 with the current version when somebody was faster."""
    async with caller.transaction() as session:
        key = _key(session, document_id)
        row = {**revision.model_dump(), **key}
        if (await session.connection.execute(release.update, row)).rowcount == 0:
            return await _not_updated(session, key)
        version = revision.version + 1
        await record_change(session, document_id, version, "update")
    return JSONResponse({"id": str(document_id), "version": version})


@router.delete("/documents/{document_id}")
async def delete(document_id: uuid.UUID, caller: Writer) -> Response:
    async with caller.transaction() as session:
        version = (await session.connection.execute(_DELETE, _key(session, document_id))).scalar()
        if version is None:
            raise _unknown()
        await record_change(session, document_id, version, "delete")
    return Response(status_code=204)


async def _not_updated(session: Session, key: dict[str, Any]) -> Response:
    version = (await session.connection.execute(_VERSION, key)).scalar()
    if version is None:
        raise _unknown()
    return JSONResponse({"detail": "the document has changed", "version": version}, 409)


def _key(session: Session, document_id: uuid.UUID) -> dict[str, Any]:
    return {"id": document_id, "account_id": session.account_id}


def _as_json(row: Row[Any]) -> dict[str, Any]:
    columns = row._mapping.get("row") or row._mapping
    return {**columns, "id": str(row.id)}


def _unknown() -> HTTPException:
    """The same answer for a document that is not there and for another account's."""
    return HTTPException(404, "no such document")
