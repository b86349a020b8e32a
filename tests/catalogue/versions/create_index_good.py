"""An index built beside reads and writes."""

from alembic import op

revision = "create_index_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index("busy_customer", "busy", ["customer_id"], postgresql_concurrently=True)
