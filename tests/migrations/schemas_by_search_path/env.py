"""A schema for each account, one after the other: the search path decides, all in one transaction."""

from alembic import context
from engines import connected
from sqlalchemy import text

ACCOUNTS = ("anna", "bert")


def migrate(connection):
    with connection.begin():
        for schema in ACCOUNTS:
            connection.execute(text(f'SET search_path TO "{schema}"'))
            connection.dialect.default_schema_name = schema
            context.configure(connection=connection)
            context.run_migrations()


connected(migrate)
