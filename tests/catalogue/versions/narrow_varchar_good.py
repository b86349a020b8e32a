"""The limit as a check."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "narrow_varchar_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD CONSTRAINT busy_code CHECK (length(code) <= 15) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_code")
