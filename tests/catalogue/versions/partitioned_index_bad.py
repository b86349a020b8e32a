"""An index on a partitioned table is built on every partition under SHARE."""

from alembic import op

revision = "partitioned_index_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE INDEX pt_v ON pt (v)")
