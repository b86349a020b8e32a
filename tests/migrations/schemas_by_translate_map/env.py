"""A schema for each account, each in a transaction of its own, named by SQLAlchemy's schema_translate_map."""

from alembic import context
from engines import connected
from sqlalchemy import text

ACCOUNTS = ("anna", "bert")


def migrate(connection):
    for schema in ACCOUNTS:
        mapped = connection.execution_options(schema_translate_map={None: schema})
        mapped.execute(text(f'SET search_path TO "{schema}"'))
        mapped.commit()
        context.configure(connection=mapped, version_table_schema=schema)
        with context.begin_transaction():
            context.run_migrations()


connected(migrate)
