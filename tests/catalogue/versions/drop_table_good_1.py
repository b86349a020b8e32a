"""First of two: the key goes, gently; then nothing ties the table to its parent."""

from harness.target.migrations.gently import gently

revision = "drop_table_good_1"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE archive DROP CONSTRAINT archive_busy")
