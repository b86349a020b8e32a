"""Each revision is committed by itself."""

from alembic import context
from engines import connected


def migrate(connection):
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


connected(migrate)
