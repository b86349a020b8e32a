"""A script of the application: `python migrate.py`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from engines import connected

config = Config(str(Path(__file__).with_name("alembic.ini")))


def migrate(connection):
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


connected(migrate)
