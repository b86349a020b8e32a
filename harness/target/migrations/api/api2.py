"""Columns of release N+1, with defaults that serve the running one, and their index.

Adding a column with a constant default rewrites nothing; one with a volatile default would, so `share_id` has
its default for the rows to come alone.
"""

from __future__ import annotations

from alembic import op

from harness.target.migrations.gently import gently

revision = "api2"
down_revision = "api1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    gently(
        "ALTER TABLE documents ADD category_id integer NOT NULL DEFAULT 1, ADD share_id uuid",
        "ALTER TABLE documents ALTER share_id SET DEFAULT gen_random_uuid()",
    )
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS documents_category_idx")
        op.execute("CREATE INDEX CONCURRENTLY documents_category_idx ON documents (category_id, account_id)")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS documents_category_idx")
    gently("ALTER TABLE documents DROP category_id, DROP share_id")
