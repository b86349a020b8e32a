"""A plain type; the check is the table's, and validated beside writes."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "domain_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently(
        "ALTER TABLE busy ADD COLUMN net int DEFAULT 1",
        "ALTER TABLE busy ADD CONSTRAINT busy_net CHECK (net > 0) NOT VALID",
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_net")
