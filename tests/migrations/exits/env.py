"""Ends the process itself, with a code of its own."""

import sys

from alembic import context
from engines import connected


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    sys.exit(7)


connected(migrate)
