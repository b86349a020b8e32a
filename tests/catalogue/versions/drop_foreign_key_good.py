"""With a short lock_timeout and another try."""

from harness.target.migrations.gently import gently

revision = "drop_foreign_key_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE child DROP CONSTRAINT child_busy")
