"""Computed when it is read (PostgreSQL 18)."""

from harness.target.migrations.gently import gently

revision = "stored_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN twice int GENERATED ALWAYS AS (qty * 2) VIRTUAL")
