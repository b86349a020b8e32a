"""a table without a transaction, which a second run finds in its way, too, and nothing mends"""

from alembic import op

revision = "k3"
down_revision = "k2"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("CREATE TABLE more_notes (id int)")


def downgrade():
    op.execute("DROP TABLE more_notes")
