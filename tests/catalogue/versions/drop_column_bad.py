"""The running release still reads it."""

from alembic import op

revision = "drop_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.drop_column("busy", "note")
