"""A constrained domain with a default rewrites the table."""

from alembic import op

revision = "domain_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE busy ADD COLUMN net weight DEFAULT 1")
