"""An invalid index of that name is there: IF NOT EXISTS calls it a success."""

from alembic import op

revision = "invalid_index_bad"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS busy_email ON busy (email)")
