"""Second of two, in a transaction of its own: the old rows, beside writes."""

from alembic import op

revision = "add_check_good"
down_revision = "add_check_good_1"


def upgrade() -> None:
    op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_qty")
