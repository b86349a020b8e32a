"""UNIQUE with the column builds its index under ACCESS EXCLUSIVE."""

from alembic import op
from sqlalchemy import Column, Text

revision = "unique_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.add_column("busy", Column("slug", Text, unique=True))
