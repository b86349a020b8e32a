"""The check on the table's column instead."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "domain_check_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD CONSTRAINT busy_grams CHECK (grams < 1000) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_grams")
