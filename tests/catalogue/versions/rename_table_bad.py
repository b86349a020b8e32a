"""The running release asks for the old name."""

from alembic import op

revision = "rename_table_bad"
down_revision = "schema"


def upgrade() -> None:
    op.rename_table("busy", "orders")
