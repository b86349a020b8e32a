"""Instant, but writers queue behind it."""

from alembic import op

revision = "create_trigger_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE TRIGGER busy_touch BEFORE UPDATE ON busy FOR EACH ROW EXECUTE FUNCTION touch()")
