"""The column's transaction ends before the backfill begins."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "backfill_after_ddl_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN region text")
    with op.get_context().autocommit_block():
        for last in range(500, 12_001, 500):
            op.execute(f"UPDATE busy SET region = 'eu' WHERE id > {last - 500} AND id <= {last}")
