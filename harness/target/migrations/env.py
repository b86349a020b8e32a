"""How Alembic reaches the service's database."""

from __future__ import annotations

from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from harness.target.settings import Settings

if context.is_offline_mode():
    raise SystemExit(
        "These migrations read what they change and retry: they cannot be written out with --sql."
    )

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

engine = create_engine(Settings.of_migration().sqlalchemy_url, poolclass=NullPool)
with engine.connect() as connection:
    # One transaction per revision: `safe` lets go of its locks between revisions and leaves the transaction
    # for what runs CONCURRENTLY and for the backfill.
    context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
