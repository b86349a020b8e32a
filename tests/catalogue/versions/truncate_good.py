"""Deleted in batches."""

from alembic import op

revision = "truncate_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for last in range(200, 1001, 200):
            op.execute(f"DELETE FROM child WHERE id <= {last}")
