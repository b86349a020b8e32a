"""Initialize models: the schema of the release that runs."""

import sqlalchemy as sa
from alembic import op

revision = "released"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("email", sa.String(255), nullable=False, unique=True),
        sa.Column("hashed_password", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(255)),
        sa.Column("is_superuser", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
    )
    op.create_index("ix_item_owner_id", "item", ["owner_id"])


def downgrade() -> None:
    op.drop_table("item")
    op.drop_table("user")
