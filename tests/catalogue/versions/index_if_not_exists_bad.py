"""The index is there already: nothing is done, and SHARE is taken all the same."""

from alembic import op

revision = "index_if_not_exists_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE INDEX IF NOT EXISTS busy_tenant ON busy (tenant_id)")
