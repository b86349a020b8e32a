"""First of two: the check holds for new rows."""

from harness.target.migrations.gently import gently

revision = "add_check_good_1"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD CONSTRAINT busy_qty CHECK (qty >= 0) NOT VALID")
