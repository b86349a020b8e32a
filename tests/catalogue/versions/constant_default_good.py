"""A constant default is kept in the catalog: no rewrite."""

from harness.target.migrations.gently import gently

revision = "constant_default_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN region text NOT NULL DEFAULT 'eu'")
