"""Whoever comes later waits until the first is through."""

import os

from alembic import context
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["TEST_DATABASE_URL"])
with engine.connect() as connection:
    connection.execute(text("SELECT pg_advisory_lock(42)"))
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
