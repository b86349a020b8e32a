"""Takes over logging by `fileConfig`, which silences every logger there was before."""

from logging.config import fileConfig

from alembic import context
from engines import connected

fileConfig(context.config.config_file_name)


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


connected(migrate)
