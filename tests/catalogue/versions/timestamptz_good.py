"""In UTC the bytes are the same: no rewrite."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "timestamptz_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute("SET LOCAL TimeZone = 'UTC'")
    gently("ALTER TABLE busy ALTER COLUMN created_at TYPE timestamptz")
