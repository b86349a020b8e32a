"""Whoever comes later waits until the first is through."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["TEST_DATABASE_URL"])
with engine.connect() as connection:
    # Asked anew each time: CREATE INDEX CONCURRENTLY waits for the snapshot of one long pg_advisory_lock().
    while not connection.scalar(text("SELECT pg_try_advisory_lock(42)")):
        connection.rollback()
        time.sleep(0.1)
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
