"""Never ends by itself."""

from alembic import op

revision = "hanging"
down_revision = "v1"


def upgrade() -> None:
    op.execute("SELECT pg_sleep(600)")


def downgrade() -> None:
    pass
