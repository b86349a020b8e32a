"""Likewise, but the rows are locked when they are read: writers wait, and write after it."""

import uuid

from alembic import op
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

revision = "write_back_locked"
down_revision = None


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    title: Mapped[str]


def upgrade() -> None:
    session = Session(op.get_bind())
    for note in session.scalars(select(Note).with_for_update()).all():
        note.title = f"{note.title} (checked)"
    session.flush()
