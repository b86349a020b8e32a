"""Batches, each a transaction of its own."""

from alembic import op

revision = "backfill_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for last in range(500, 12_001, 500):
            op.execute(f"UPDATE busy SET note = 'filled' WHERE id > {last - 500} AND id <= {last}")
