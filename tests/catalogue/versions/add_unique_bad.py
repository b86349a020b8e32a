"""The index is built under ACCESS EXCLUSIVE."""

from alembic import op

revision = "add_unique_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_unique_constraint("busy_code", "busy", ["code"])
