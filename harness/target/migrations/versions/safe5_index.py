"""safe 5 of 6: the index, built beside reads and writes.

A build that failed leaves an invalid index behind, which IF NOT EXISTS would take for a finished one: it is
dropped first.
"""

from __future__ import annotations

from alembic import op

revision = "safe5"
down_revision = "safe4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS documents_category_idx")
        op.execute("CREATE INDEX CONCURRENTLY documents_category_idx ON documents (category_id, account_id)")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS documents_category_idx")
