"""jsonb compares."""

from harness.target.migrations.gently import gently

revision = "json_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN data jsonb")
