"""Readers wait for the whole query."""

from alembic import op

revision = "refresh_matview_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("REFRESH MATERIALIZED VIEW totals")
