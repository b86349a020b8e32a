"""First of two: one table, one transaction."""

from harness.target.migrations.gently import gently

revision = "several_tables_good_1"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE customers ADD COLUMN region text")
