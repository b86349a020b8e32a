"""Each revision is committed by itself; what a kill leaves differs from one to the next."""

import os

from alembic import context
from sqlalchemy import create_engine

engine = create_engine(os.environ["TEST_DATABASE_URL"])
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
