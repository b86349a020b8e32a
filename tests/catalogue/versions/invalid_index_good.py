"""What a failed build left behind is dropped first."""

from alembic import op

revision = "invalid_index_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS busy_email")
        op.execute("CREATE INDEX CONCURRENTLY busy_email ON busy (email)")
