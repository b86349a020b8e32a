"""one table"""

from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    print("inside the migration")  # noqa: T201
    op.execute("CREATE TABLE chatter (id int)")
