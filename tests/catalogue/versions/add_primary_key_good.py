"""The index beside writes; the constraint takes it over."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "add_primary_key_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index("child_pkey", "child", ["id"], unique=True, postgresql_concurrently=True)
    gently("ALTER TABLE child ADD PRIMARY KEY USING INDEX child_pkey")
