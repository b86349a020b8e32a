"""The key is rewritten; its sequence stays an integer."""

from alembic import op

revision = "serial_to_bigint_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE tickets ALTER COLUMN id TYPE bigint")
