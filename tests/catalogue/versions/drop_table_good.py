"""Second of two: nobody uses the table, and no lock on its parent is needed."""

from harness.target.migrations.gently import gently

revision = "drop_table_good"
down_revision = "drop_table_good_1"


def upgrade() -> None:
    gently("DROP TABLE archive")
