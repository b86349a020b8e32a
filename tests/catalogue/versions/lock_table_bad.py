"""LOCK TABLE means ACCESS EXCLUSIVE."""

from alembic import op

revision = "lock_table_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("LOCK TABLE busy")
