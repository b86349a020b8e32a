"""A view under the old name for the running release."""

from harness.target.migrations.gently import gently

revision = "rename_table_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy RENAME TO orders", "CREATE VIEW busy AS SELECT * FROM orders")
