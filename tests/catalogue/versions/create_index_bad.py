"""An index built while writers wait."""

from alembic import op

revision = "create_index_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_index("busy_customer", "busy", ["customer_id"])
