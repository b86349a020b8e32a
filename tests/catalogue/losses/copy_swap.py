"""A copy takes the table's place: what was written to the old one after its rows were copied goes with it."""

from alembic import op

revision = "copy_swap"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE notes_new (LIKE notes INCLUDING ALL)")
    op.execute("INSERT INTO notes_new SELECT * FROM notes")
    op.execute("DROP TABLE notes")
    op.execute("ALTER TABLE notes_new RENAME TO notes")
