"""REINDEX: SHARE on the table, but every reader needs the index."""

from alembic import op

revision = "reindex_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("REINDEX INDEX busy_tenant")
