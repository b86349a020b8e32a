"""The running release does not find it there."""

from alembic import op

revision = "set_schema_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE customers SET SCHEMA other")
