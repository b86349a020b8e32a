"""With a short lock_timeout and another try."""

from harness.target.migrations.gently import gently

revision = "create_trigger_good"
down_revision = "schema"


def upgrade() -> None:
    gently("CREATE TRIGGER busy_touch BEFORE UPDATE ON busy FOR EACH ROW EXECUTE FUNCTION touch()")
