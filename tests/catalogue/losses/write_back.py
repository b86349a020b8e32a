"""Rows are read through an ORM, changed in Python and written back: over what was written in between."""

import uuid

from alembic import op
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

revision = "write_back"
down_revision = None


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    title: Mapped[str]


def upgrade() -> None:
    session = Session(op.get_bind())
    for note in session.scalars(select(Note)).all():
        note.title = f"{note.title} (checked)"
    session.flush()
