"""safe 3 of 6: constraints for new and changed rows only (NOT VALID), which scans nothing."""

from __future__ import annotations

from harness.target.migrations.gently import gently

revision = "safe3"
down_revision = "safe2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    gently(
        """
        ALTER TABLE documents
        ADD CONSTRAINT documents_filled_check
            CHECK (share_id IS NOT NULL AND category_id IS NOT NULL AND size_bytes IS NOT NULL) NOT VALID,
        ADD CONSTRAINT documents_size_bytes_check CHECK (size_bytes >= 0) NOT VALID,
        ADD CONSTRAINT documents_category_id_fkey FOREIGN KEY (category_id) REFERENCES categories NOT VALID
        """
    )


def downgrade() -> None:
    gently(
        """
        ALTER TABLE documents
        DROP CONSTRAINT documents_category_id_fkey,
        DROP CONSTRAINT documents_size_bytes_check,
        DROP CONSTRAINT documents_filled_check
        """
    )
