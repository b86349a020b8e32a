"""The running release does not write the column: each of its inserts breaks the check."""

from harness.target.migrations.gently import gently

revision = "check_on_new_column_bad"
down_revision = "schema"


def upgrade() -> None:
    gently(
        "ALTER TABLE busy ADD COLUMN region text",
        "ALTER TABLE busy ADD CONSTRAINT busy_region CHECK (region IS NOT NULL) NOT VALID",
    )
