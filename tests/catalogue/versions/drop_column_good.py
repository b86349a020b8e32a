"""A column nothing uses any more."""

from harness.target.migrations.gently import gently

revision = "drop_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy DROP COLUMN legacy")
