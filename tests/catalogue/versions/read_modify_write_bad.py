"""Read in Python, written back later: what was written in between is lost, and rows stay locked."""

from alembic import op
from sqlalchemy import text
from sqlalchemy.orm import Session

revision = "read_modify_write_bad"
down_revision = "schema"


def upgrade() -> None:
    session = Session(op.get_bind())
    rows = session.execute(text("SELECT id, qty FROM busy ORDER BY id")).all()
    doubled = [{"id": row.id, "qty": 2 * row.qty} for row in rows]
    session.execute(text("UPDATE busy SET qty = :qty WHERE id = :id"), doubled)
