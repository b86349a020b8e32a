"""The index rebuilt beside reads and writes."""

from alembic import op

revision = "reindex_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("REINDEX INDEX CONCURRENTLY busy_tenant")
