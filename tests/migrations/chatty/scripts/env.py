"""Prints, takes over logging, closes every descriptor it does not know, and reads its folder's modules."""

import os
from logging.config import fileConfig

from alembic import context
from house_rules import GREETING
from sqlalchemy import create_engine

print(GREETING)  # noqa: T201
os.closerange(3, 64)
fileConfig(context.config.config_file_name)
engine = create_engine(os.environ["TEST_DATABASE_URL"], echo=True)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
print({"answer": "goodbye"})  # noqa: T201
