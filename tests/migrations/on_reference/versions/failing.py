"""Adds a column, then fails on a table that does not exist."""

from alembic import op

revision = "failing"
down_revision = "v1"


def upgrade() -> None:
    op.execute("ALTER TABLE documents ADD COLUMN note text")
    op.execute("UPDATE no_such_table SET note = 'x'")


def downgrade() -> None:
    op.execute("ALTER TABLE documents DROP COLUMN note")
