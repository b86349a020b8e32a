"""An index dropped beside reads and writes."""

from alembic import op

revision = "drop_index_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("busy_tenant", "busy", postgresql_concurrently=True)
