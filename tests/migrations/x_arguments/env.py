"""The database is named by `-x database=NAME`; only where the server is comes from the environment."""

from alembic import context
from engines import URL, connected

arguments = context.get_x_argument(as_dictionary=True)


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


connected(migrate, URL.rpartition("/")[0] + "/" + arguments["database"])
