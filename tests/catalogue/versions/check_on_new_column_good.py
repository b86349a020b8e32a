"""A default makes what the running release writes pass."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "check_on_new_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently(
        "ALTER TABLE busy ADD COLUMN region text DEFAULT 'eu'",
        "ALTER TABLE busy ADD CONSTRAINT busy_region CHECK (region IS NOT NULL) NOT VALID",
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_region")
