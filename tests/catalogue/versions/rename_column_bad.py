"""The running release asks for the old name."""

from alembic import op

revision = "rename_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.alter_column("busy", "note", new_column_name="remark")
