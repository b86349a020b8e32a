"""Add item.note: a column that may be empty, had in a moment or not at all."""

import sqlalchemy as sa
from alembic import op

revision = "harmless"
down_revision = "released"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.add_column("item", sa.Column("note", sa.String(255), nullable=True))


def downgrade() -> None:
    op.drop_column("item", "note")
