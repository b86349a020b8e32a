"""Every row is checked under ACCESS EXCLUSIVE."""

from alembic import op

revision = "add_check_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_check_constraint("busy_qty", "busy", "qty >= 0")
