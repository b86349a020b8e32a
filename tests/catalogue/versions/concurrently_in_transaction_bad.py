"""CONCURRENTLY without an autocommit block: PostgreSQL refuses it."""

from alembic import op

revision = "concurrently_in_transaction_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_index("busy_customer", "busy", ["customer_id"], postgresql_concurrently=True)
