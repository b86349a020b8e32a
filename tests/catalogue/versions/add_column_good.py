"""Nullable, with a short lock_timeout and another try."""

from harness.target.migrations.gently import gently

revision = "add_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN region text")
