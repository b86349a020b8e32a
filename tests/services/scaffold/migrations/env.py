import os

from alembic import context
from models import Base
from sqlalchemy import create_engine, pool

target_metadata = Base.metadata
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")


def run_migrations_online() -> None:
    connectable = create_engine(url, poolclass=pool.NullPool)
    with connectable.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=target_metadata,
            compare_type=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()


run_migrations_online()
