"""Inserts wait, and no lock on the table shows why."""

from alembic import op

revision = "alter_sequence_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER SEQUENCE busy_id_seq INCREMENT BY 10")
