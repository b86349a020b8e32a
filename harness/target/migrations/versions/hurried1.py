"""hurried: drops a column that release N still reads and writes.

An instant, and no lock to speak of; what it breaks is the running release. The release that does without the
column has to be deployed first: the opposite order of a migration that adds one.
"""

from __future__ import annotations

from harness.target.migrations.gently import gently

revision = "hurried1"
down_revision = "v1"
branch_labels = ("hurried",)
depends_on = None


def upgrade() -> None:
    gently("ALTER TABLE documents DROP tags")


def downgrade() -> None:
    gently("ALTER TABLE documents ADD tags text[] NOT NULL DEFAULT '{}'")
