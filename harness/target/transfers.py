"""Transfers between an account's own wallets: money moves, its sum per account never changes."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import text
from starlette.responses import JSONResponse, Response

from harness.target.auth import Reader, Writer

__all__ = ["router"]

router = APIRouter()

_WALLETS = text("SELECT id, name, balance FROM wallets WHERE account_id = :account_id ORDER BY id")
_LOCK = text("""
    SELECT id, balance FROM wallets WHERE account_id = :account_id AND id IN (:source, :target)
    ORDER BY id FOR UPDATE
""")
_KEEP = text("""
    INSERT INTO transfers (id, account_id, source_id, target_id, amount)
    VALUES (:id, :account_id, :source, :target, :amount) ON CONFLICT (id) DO NOTHING
""")
_MOVE = text("""
    UPDATE wallets SET balance = balance + CASE id WHEN :target THEN :amount ELSE -:amount END
    WHERE id IN (:source, :target)
""")
_READ = text("""
    SELECT id, source_id, target_id, amount FROM transfers WHERE id = :id AND account_id = :account_id
""")


class Transfer(BaseModel):
    id: uuid.UUID
    source: int = Field(alias="from", ge=1, lt=2**31)
    target: int = Field(alias="to", ge=1, lt=2**31)
    amount: int = Field(ge=1, lt=2**31)


@router.get("/wallets")
async def wallets(caller: Reader) -> Response:
    async with caller.transaction() as session:
        rows = await session.connection.execute(_WALLETS, {"account_id": session.account_id})
        return JSONResponse([dict(row) for row in rows.mappings()])


@router.post("/transfers")
async def transfer(order: Transfer, caller: Writer) -> Response:
    """404 for a wallet that is not the caller's, 409 for too little money or an id that exists."""
    if order.source == order.target:
        raise HTTPException(422, "from and to are the same wallet")
    async with caller.transaction() as session:
        row = {**order.model_dump(), "account_id": session.account_id}
        # Locked in the order of ids, whichever way the money goes: two opposite transfers cannot deadlock.
        balances = {r.id: r.balance for r in await session.connection.execute(_LOCK, row)}
        if len(balances) < 2:
            raise HTTPException(404, "no such wallet")
        if balances[order.source] < order.amount:
            raise HTTPException(409, "insufficient funds")
        if (await session.connection.execute(_KEEP, row)).rowcount == 0:
            raise HTTPException(409, "the id exists")
        await session.connection.execute(_MOVE, row)
    return JSONResponse(_as_json(order.id, order.source, order.target, order.amount), 201)


@router.get("/transfers/{transfer_id}")
async def read(transfer_id: uuid.UUID, caller: Reader) -> Response:
    async with caller.transaction() as session:
        look_up = {"id": transfer_id, "account_id": session.account_id}
        row = (await session.connection.execute(_READ, look_up)).one_or_none()
    if row is None:
        raise HTTPException(404, "no such transfer")
    return JSONResponse(_as_json(row.id, row.source_id, row.target_id, row.amount))


def _as_json(transfer_id: uuid.UUID, source: int, target: int, amount: int) -> dict[str, Any]:
    return {"id": str(transfer_id), "from": source, "to": target, "amount": amount}
