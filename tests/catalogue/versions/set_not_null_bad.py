"""The table is scanned under ACCESS EXCLUSIVE."""

from alembic import op

revision = "set_not_null_bad"
down_revision = "schema"


def upgrade() -> None:
    op.alter_column("busy", "email", nullable=False)
