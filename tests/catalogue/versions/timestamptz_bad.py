"""timestamp to timestamptz rewrites the table unless the session's time zone is UTC."""

from alembic import op

revision = "timestamptz_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("SET LOCAL TimeZone = 'Europe/Berlin'")
    op.execute("ALTER TABLE busy ALTER COLUMN created_at TYPE timestamptz")
