"""A longer varchar changes the catalog alone."""

from harness.target.migrations.gently import gently

revision = "widen_varchar_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ALTER COLUMN code TYPE varchar(50)")
