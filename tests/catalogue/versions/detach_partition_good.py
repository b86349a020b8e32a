"""Waits for the others, and nobody for it."""

from alembic import op

revision = "detach_partition_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE pt DETACH PARTITION pt2 CONCURRENTLY")
