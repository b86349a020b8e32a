"""Imports the whole application, and migrates on its engine."""

import shop
from alembic import context
from shop.database import engine

with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
shop.stop.set()
