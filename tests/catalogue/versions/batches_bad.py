"""Batches, but all in the revision's one transaction."""

from alembic import op

revision = "batches_bad"
down_revision = "schema"


def upgrade() -> None:
    for last in range(500, 12_001, 500):
        op.execute(f"UPDATE busy SET note = 'filled' WHERE id > {last - 500} AND id <= {last}")
