"""A table of its own, attached afterwards."""

from alembic import op

revision = "partition_of_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE TABLE pt4 (LIKE pt INCLUDING ALL)")
    op.execute("ALTER TABLE pt ATTACH PARTITION pt4 FOR VALUES FROM (4001) TO (5001)")
