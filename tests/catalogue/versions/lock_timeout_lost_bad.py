"""SET LOCAL ends with the transaction, which the autocommit block ends."""

from alembic import op

revision = "lock_timeout_lost_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '200ms'")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy ADD COLUMN region text")
