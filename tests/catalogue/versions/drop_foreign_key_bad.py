"""Dropping the child's key locks the parent's readers out."""

from alembic import op

revision = "drop_foreign_key_bad"
down_revision = "schema"


def upgrade() -> None:
    op.drop_constraint("child_busy", "child")
