"""ACCESS EXCLUSIVE on the parent and the partition."""

from alembic import op

revision = "detach_partition_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE pt DETACH PARTITION pt2")
