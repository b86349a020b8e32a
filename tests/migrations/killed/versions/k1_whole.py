"""in one transaction: a kill leaves nothing of it"""

from alembic import op

revision = "k1"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE notes (id int PRIMARY KEY, body text)")
    op.execute("INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 1000) n")


def downgrade():
    op.execute("DROP TABLE notes")
