"""The column; its index beside writes; the constraint takes the index over."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "unique_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN slug text")
    with op.get_context().autocommit_block():
        op.create_index("busy_slug", "busy", ["slug"], unique=True, postgresql_concurrently=True)
    gently("ALTER TABLE busy ADD CONSTRAINT busy_slug UNIQUE USING INDEX busy_slug")
