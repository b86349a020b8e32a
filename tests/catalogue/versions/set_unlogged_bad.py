"""The table is rewritten under ACCESS EXCLUSIVE."""

from alembic import op

revision = "set_unlogged_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE child SET UNLOGGED")
