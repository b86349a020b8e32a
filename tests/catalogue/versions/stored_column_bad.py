"""A stored generated column rewrites the table."""

from alembic import op
from sqlalchemy import Column, Computed, Integer

revision = "stored_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.add_column("busy", Column("twice", Integer, Computed("qty * 2", persisted=True)))
