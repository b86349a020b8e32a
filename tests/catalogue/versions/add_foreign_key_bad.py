"""Writers of both tables wait while every row is looked up."""

from alembic import op

revision = "add_foreign_key_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_foreign_key("busy_payer", "busy", "customers", ["customer_id"], ["id"])
