"""A new word beside the old ones."""

from alembic import op

revision = "enum_add_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TYPE order_status ADD VALUE 'lost'")
