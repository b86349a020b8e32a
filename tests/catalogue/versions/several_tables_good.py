"""Second of two."""

from harness.target.migrations.gently import gently

revision = "several_tables_good"
down_revision = "several_tables_good_1"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN region text")
