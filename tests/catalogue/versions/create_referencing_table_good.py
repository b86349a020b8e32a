"""The table; its key with a short lock_timeout and another try."""

from alembic import op
from sqlalchemy import BigInteger, Column

from harness.target.migrations.gently import gently

revision = "create_referencing_table_good"
down_revision = "schema"


def upgrade() -> None:
    op.create_table("invoices", Column("id", BigInteger, primary_key=True), Column("busy_id", BigInteger))
    gently("ALTER TABLE invoices ADD CONSTRAINT invoices_busy FOREIGN KEY (busy_id) REFERENCES busy")
