"""The rows that are there have no value: it fails."""

from alembic import op
from sqlalchemy import Column, Text

revision = "not_null_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.add_column("busy", Column("region", Text, nullable=False))
