"""Rewrites every password in a form that the service does not read: who is logged in stays so."""

from alembic import op

revision = "locked_out"
down_revision = "v1"


def upgrade() -> None:
    op.execute("UPDATE accounts SET password_hash = 'md5' || md5(name)")


def downgrade() -> None:
    pass
