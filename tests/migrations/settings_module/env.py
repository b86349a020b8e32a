"""The URL comes from the application's settings module; the one in alembic.ini is never looked at."""

from alembic import context
from engines import connected
from shop.settings import settings


def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


connected(migrate, settings.url)
