"""NOT NULL for new rows, then the old rows checked beside writes (PostgreSQL 18)."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "not_null_not_valid_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD CONSTRAINT busy_email_set NOT NULL email NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_email_set")
