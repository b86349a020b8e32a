"""The env.py of Alembic's multidb template: two databases, migrated together and committed together."""

import os
import re

from alembic import context
from sqlalchemy import create_engine

config = context.config
names = re.split(r",\s*", config.get_main_option("databases", ""))


def run_migrations_online():
    connections = {}
    for name in names:
        connections[name] = create_engine(os.environ[f"{name.upper()}_URL"]).connect()
    transactions = [connection.begin() for connection in connections.values()]
    try:
        for name, connection in connections.items():
            context.configure(connection=connection, upgrade_token=f"{name}_upgrades")
            context.run_migrations(engine_name=name)
        for transaction in transactions:
            transaction.commit()
    except:
        for transaction in transactions:
            transaction.rollback()
        raise
    finally:
        for connection in connections.values():
            connection.close()


run_migrations_online()
