"""What is dead is marked for reuse, beside reads and writes."""

from alembic import op

revision = "vacuum_full_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("VACUUM busy")
