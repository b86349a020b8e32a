"""No lock, but the running release writes the old word."""

from alembic import op

revision = "enum_rename_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TYPE order_status RENAME VALUE 'new' TO 'fresh'")
