"""A new table's foreign key locks the old table's writers out."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey

revision = "create_referencing_table_bad"
down_revision = "schema"


def upgrade() -> None:
    op.create_table(
        "invoices",
        Column("id", BigInteger, primary_key=True),
        Column("busy_id", BigInteger, ForeignKey("busy.id")),
    )
