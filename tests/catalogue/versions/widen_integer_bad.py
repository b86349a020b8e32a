"""int to bigint rewrites the table and its indexes."""

from alembic import op
from sqlalchemy import BigInteger

revision = "widen_integer_bad"
down_revision = "schema"


def upgrade() -> None:
    op.alter_column("busy", "qty", type_=BigInteger)
