"""A shorter varchar rewrites the table."""

from alembic import op
from sqlalchemy import String

revision = "narrow_varchar_bad"
down_revision = "schema"


def upgrade() -> None:
    op.alter_column("busy", "code", type_=String(15))
