"""The index is built under ACCESS EXCLUSIVE."""

from alembic import op

revision = "add_primary_key_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_primary_key("child_pkey", "child", ["id"])
