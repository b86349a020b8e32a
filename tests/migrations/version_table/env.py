"""The revisions are kept in `house.revisions`, a schema that env.py itself makes."""

from alembic import context
from engines import connected
from sqlalchemy import text


def migrate(connection):
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS house"))
    connection.commit()
    context.configure(connection=connection, version_table="revisions", version_table_schema="house")
    with context.begin_transaction():
        context.run_migrations()


connected(migrate)
