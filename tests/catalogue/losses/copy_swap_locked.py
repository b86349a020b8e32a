"""Likewise, but writers are locked out first: they wait across the swap, and then write to the new table."""

from alembic import op

revision = "copy_swap_locked"
down_revision = None


def upgrade() -> None:
    op.execute("LOCK TABLE notes IN SHARE ROW EXCLUSIVE MODE")
    op.execute("CREATE TABLE notes_new (LIKE notes INCLUDING ALL)")
    op.execute("INSERT INTO notes_new SELECT * FROM notes")
    op.execute("DROP TABLE notes")
    op.execute("ALTER TABLE notes_new RENAME TO notes")
