"""json has no equality: SELECT DISTINCT of the running release fails on it."""

from alembic import op

revision = "json_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE busy ADD COLUMN data json")
