"""When an account was locked, and an index to find the refresh tokens that have ended."""

from __future__ import annotations

from alembic import op

from harness.target.migrations.gently import gently

revision = "auth2"
down_revision = "auth1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    gently("ALTER TABLE accounts ADD locked_at timestamptz")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS refresh_tokens_expires_idx")
        op.execute("CREATE INDEX CONCURRENTLY refresh_tokens_expires_idx ON refresh_tokens (expires_at)")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS refresh_tokens_expires_idx")
    gently("ALTER TABLE accounts DROP locked_at")
