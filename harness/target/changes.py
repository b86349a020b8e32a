"""What happened to an account's documents, numbered per account, and how every process hears of it.

The number is taken, the event kept and NOTIFY queued in the transaction of the write itself. Taking the
number locks the account's row until the commit, so per account the order of numbers is the order of commits,
and PostgreSQL delivers notifications in the order of commits. With a cache what is told is published there
instead, after the commit and in no order; who listens goes by the numbers.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import text

from harness.target.auth import Session
from harness.target.channels import CHANGES

__all__ = [
    "announce",
    "change_message",
    "changes_after",
    "last_number",
    "record_change",
]

_FIELDS = "'seq', seq, 'document', document_id, 'version', version, 'op', op, 'committed_at', committed_at"

_RECORD = """
    WITH numbered AS (
        UPDATE accounts SET last_seq = last_seq + 1 WHERE id = :account_id RETURNING id, name, last_seq
    ), kept AS (
        INSERT INTO events (account_id, seq, document_id, version, op, committed_at)
        SELECT id, last_seq, :document_id, :version, :op, extract(epoch FROM clock_timestamp()) FROM numbered
        RETURNING account_id, seq, document_id, version, op, committed_at
    )
    SELECT {told} FROM kept, numbered
"""
_TOLD = f"json_build_object('account', name, {_FIELDS})::text"
_RECORD_AND_NOTIFY = text(_RECORD.format(told=f"pg_notify('{CHANGES}', {_TOLD})"))
_RECORD_AND_TELL = text(_RECORD.format(told=_TOLD))
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
_AFTER = text(f"""
    SELECT json_build_object('account', accounts.name, {_FIELDS}) FROM events
    JOIN accounts ON accounts.id = account_id
    WHERE account_id = :account_id AND seq > :after ORDER BY seq LIMIT 500
""")  # noqa: S608 - constants of this module
_LAST = text("SELECT last_seq FROM accounts WHERE id = :account_id")


async def record_change(session: Session, document: uuid.UUID, version: int, op: str) -> None:
    """The last statement of a write: `committed_at` (server clock) is as near the commit as can be."""
    row = {"account_id": session.account_id, "document_id": document, "version": version, "op": op}
    if session.cache is None:
        await session.connection.execute(_RECORD_AND_NOTIFY, row)
        return
    told = (await session.connection.execute(_RECORD_AND_TELL, row)).scalar_one()
    session.told.append((CHANGES, told))
    session.written.append(document)


async def announce(session: Session, channel: str, payload: str) -> None:
    """Have every process hear of something once the transaction is committed."""
    if session.cache is None:
        await session.connection.execute(_NOTIFY, {"channel": channel, "payload": payload})
    else:
        session.told.append((channel, payload))


async def last_number(session: Session) -> int:
    """The number of the account's latest change; 0 before the first."""
    return int((await session.connection.execute(_LAST, {"account_id": session.account_id})).scalar_one())


async def changes_after(session: Session, number: int) -> list[dict[str, Any]]:
    """The account's next changes after `number`, in order, at most 500."""
    look_up = {"account_id": session.account_id, "after": number}
    return list((await session.connection.execute(_AFTER, look_up)).scalars())


def change_message(change: dict[str, Any]) -> str:
    """A change as subscribers get it, with the canary of the account it belongs to."""
    return json.dumps({"type": "change", **change, "canary": f"canary:{change['account']}"})
