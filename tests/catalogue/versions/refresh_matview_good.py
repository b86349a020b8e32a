"""Readers keep the old rows until it is done."""

from alembic import op

revision = "refresh_matview_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY totals")
