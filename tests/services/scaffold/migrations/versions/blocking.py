"""Add item.position and fill it, in one transaction: nobody reads an item meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "blocking"
down_revision = "harmless"


def upgrade() -> None:
    op.add_column("item", sa.Column("position", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE item SET position = 1")
    op.execute("SELECT pg_sleep(4)")  # the rest of a table of millions


def downgrade() -> None:
    op.drop_column("item", "position")
