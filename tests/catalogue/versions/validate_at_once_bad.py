"""NOT VALID and VALIDATE in one transaction: the scan under ACCESS EXCLUSIVE again."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "validate_at_once_bad"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD CONSTRAINT busy_qty CHECK (plausible(qty)) NOT VALID")
    op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_qty")
