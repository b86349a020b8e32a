"""The policy first."""

from harness.target.migrations.gently import gently

revision = "row_security_good"
down_revision = "schema"


def upgrade() -> None:
    gently("CREATE POLICY busy_all ON busy USING (true)", "ALTER TABLE busy ENABLE ROW LEVEL SECURITY")
