"""Row-level security without a policy: whoever does not own the table sees nothing."""

from harness.target.migrations.gently import gently

revision = "row_security_bad"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ENABLE ROW LEVEL SECURITY")
