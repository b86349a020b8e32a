"""Dropping an index locks out readers of its table."""

from alembic import op

revision = "drop_index_bad"
down_revision = "schema"


def upgrade() -> None:
    op.drop_index("busy_tenant", "busy")
