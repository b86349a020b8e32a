"""now() is the same for every row: no rewrite."""

from harness.target.migrations.gently import gently

revision = "stable_default_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now()")
