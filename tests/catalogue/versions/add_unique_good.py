"""The index beside writes; the constraint takes it over."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "add_unique_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index("busy_code", "busy", ["code"], unique=True, postgresql_concurrently=True)
    gently("ALTER TABLE busy ADD CONSTRAINT busy_code UNIQUE USING INDEX busy_code")
