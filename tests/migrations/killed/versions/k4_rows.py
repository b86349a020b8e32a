"""rows without a transaction, which a second run adds once more"""

from alembic import op

revision = "k4"
down_revision = "k2"
branch_labels = ("rows",)


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("INSERT INTO notes SELECT 1000 + count(*), 'one more' FROM notes")


def downgrade():
    op.execute("DELETE FROM notes WHERE body = 'one more'")
