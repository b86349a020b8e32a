"""With a short lock_timeout and another try."""

from harness.target.migrations.gently import gently

revision = "alter_sequence_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER SEQUENCE busy_id_seq INCREMENT BY 10")
