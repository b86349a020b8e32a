"""safe 6 of 6: NOT NULL, proved by the validated CHECK and therefore without a scan."""

from __future__ import annotations

from harness.target.migrations.gently import gently

revision = "safe6"
down_revision = "safe5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    gently(
        """
        ALTER TABLE documents
        ALTER share_id SET NOT NULL, ALTER category_id SET NOT NULL, ALTER size_bytes SET NOT NULL
        """,
        # A statement of its own: within one ALTER TABLE the drop comes first and the proof would be gone.
        "ALTER TABLE documents DROP CONSTRAINT documents_filled_check",
    )


def downgrade() -> None:
    gently(
        """
        ALTER TABLE documents
        ALTER share_id DROP NOT NULL, ALTER category_id DROP NOT NULL, ALTER size_bytes DROP NOT NULL,
        ADD CONSTRAINT documents_filled_check
            CHECK (share_id IS NOT NULL AND category_id IS NOT NULL AND size_bytes IS NOT NULL) NOT VALID
        """
    )
