"""an index without a transaction, which a second run finds in its way"""

from alembic import op

revision = "k2"
down_revision = "k1"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY notes_body ON notes (body)")


def downgrade():
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY notes_body")
