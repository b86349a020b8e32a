"""The table is rewritten under ACCESS EXCLUSIVE."""

from alembic import op

revision = "cluster_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CLUSTER busy USING busy_tenant")
