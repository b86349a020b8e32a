"""ACCESS EXCLUSIVE on the view: its readers queue."""

from alembic import op

revision = "replace_view_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE OR REPLACE VIEW open_busy AS SELECT id, tenant_id FROM busy WHERE status <> 'paid'")
