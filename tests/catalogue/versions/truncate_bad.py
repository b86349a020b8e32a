"""TRUNCATE waits for every reader, and everybody for it."""

from alembic import op

revision = "truncate_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("TRUNCATE child")
