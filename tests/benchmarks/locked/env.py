"""Migrates DATABASE_URL, and writes to LOCK_FILE when the table was locked and when it was free again."""

import json
import os
import time
from pathlib import Path

from alembic import context
from sqlalchemy import create_engine

engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
locked: list[float] = []
with engine.connect() as connection:
    context.configure(connection=connection, locked=locked)
    with context.begin_transaction():
        context.run_migrations()
if locked:
    Path(os.environ["LOCK_FILE"]).write_text(json.dumps([locked[0], time.monotonic()]))
