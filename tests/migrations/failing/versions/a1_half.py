"""works, then fails"""

from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE half (id int)")
    op.execute("ALTER TABLE nowhere ADD COLUMN x int")
