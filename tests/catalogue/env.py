"""The revisions' way to their database, MUL_DATABASE_URL; one transaction per revision.

With PAUSE_AFTER the migration waits, after the statement that begins like that, for an advisory lock called
`pause`: `Turnstile` in notes.py holds it.
"""

import os
from typing import Any

import psycopg
from alembic import context
from sqlalchemy import create_engine, event, make_url
from sqlalchemy.pool import NullPool

database = os.environ["MUL_DATABASE_URL"]
pause_after = os.environ.get("PAUSE_AFTER")


def pause(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if pause_after and statement.startswith(pause_after):
        with psycopg.connect(database, autocommit=True) as turnstile:
            turnstile.execute("SELECT pg_advisory_lock_shared(hashtext('pause'))")


url = make_url(database).set(drivername="postgresql+psycopg")
engine = create_engine(url, poolclass=NullPool)
if pause_after:
    event.listen(engine, "after_cursor_execute", pause)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
