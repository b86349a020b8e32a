"""The column is there already: nothing is done under ACCESS EXCLUSIVE."""

from alembic import op

revision = "column_if_not_exists_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE busy ADD COLUMN IF NOT EXISTS note text")
