"""The column's ACCESS EXCLUSIVE lasts as long as the backfill that follows."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "backfill_after_ddl_bad"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN region text")
    op.execute("UPDATE busy SET region = 'eu' WHERE plausible(qty)")
