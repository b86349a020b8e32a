"""safe 4 of 6: the scans that NOT VALID put off, each in its own transaction, beside reads and writes."""

from __future__ import annotations

from alembic import op

revision = "safe4"
down_revision = "safe3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for constraint in (
            "documents_filled_check",
            "documents_size_bytes_check",
            "documents_category_id_fkey",
        ):
            op.execute(f"ALTER TABLE documents VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    """Nothing to undo: a validated constraint only knows more; the revision that added it drops it."""
