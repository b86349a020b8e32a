"""One UPDATE of all rows keeps each of them locked until the last is done."""

from alembic import op

revision = "backfill_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("UPDATE busy SET note = 'filled'")
