"""A default that differs by row rewrites the table."""

from alembic import op

revision = "volatile_default_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE busy ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()")
