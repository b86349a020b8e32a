"""The first table stays locked while the second is waited for."""

from alembic import op

revision = "several_tables_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE customers ADD COLUMN region text")
    op.execute("ALTER TABLE busy ADD COLUMN region text")
