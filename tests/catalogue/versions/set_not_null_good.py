"""A valid check spares the scan."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "set_not_null_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD CONSTRAINT busy_email_set CHECK (email IS NOT NULL) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_email_set")
    gently(
        "ALTER TABLE busy ALTER COLUMN email SET NOT NULL", "ALTER TABLE busy DROP CONSTRAINT busy_email_set"
    )
