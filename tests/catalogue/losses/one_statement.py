"""A backfill in one statement: a writer waits for its row, and then writes to what the statement left."""

from alembic import op

revision = "one_statement"
down_revision = None


def upgrade() -> None:
    op.execute("UPDATE notes SET title = title || ' (checked)'")
