"""A copy swapped in: what is written while it is made is gone, and the child still points to the old one."""

from alembic import op

revision = "rename_swap_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE TABLE busy_new (LIKE busy INCLUDING ALL)")
    op.execute("INSERT INTO busy_new SELECT * FROM busy")
    op.execute("ALTER TABLE busy RENAME TO busy_old")
    op.execute("ALTER TABLE busy_new RENAME TO busy")
