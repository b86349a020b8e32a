"""Dropping a table that refers to another locks that one's readers out."""

from alembic import op

revision = "drop_table_bad"
down_revision = "schema"


def upgrade() -> None:
    op.drop_table("archive")
