"""A new partition takes ACCESS EXCLUSIVE on its parent."""

from alembic import op

revision = "partition_of_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE TABLE pt4 PARTITION OF pt FOR VALUES FROM (4001) TO (5001)")
