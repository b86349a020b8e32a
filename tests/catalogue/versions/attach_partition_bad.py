"""Without a check every row of the new partition is read, under ACCESS EXCLUSIVE on it."""

from alembic import op

revision = "attach_partition_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE pt ATTACH PARTITION ptnew FOR VALUES FROM (2001) TO (3001)")
