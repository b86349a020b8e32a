"""Instant, but without lock_timeout everybody queues behind it."""

from alembic import op
from sqlalchemy import Column, Text

revision = "add_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.add_column("busy", Column("region", Text))
