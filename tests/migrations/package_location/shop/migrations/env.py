"""Lies in a package, and is found by its name."""

from alembic import context
from engines import connected


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


connected(migrate)
