"""With a short lock_timeout and another try."""

from harness.target.migrations.gently import gently

revision = "replace_view_good"
down_revision = "schema"


def upgrade() -> None:
    gently("CREATE OR REPLACE VIEW open_busy AS SELECT id, tenant_id FROM busy WHERE status <> 'paid'")
