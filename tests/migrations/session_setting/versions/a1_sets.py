"""A timeout for the whole session, in the transaction of one revision."""

from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.execute("SET lock_timeout = '2s'")
    op.execute("CREATE TABLE notes (id int)")
