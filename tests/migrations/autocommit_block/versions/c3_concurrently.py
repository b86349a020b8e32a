"""an index beside the traffic"""

from alembic import op

revision = "c3"
down_revision = "b2"


def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("notes_body", "notes", ["body"], postgresql_concurrently=True)


def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("notes_body", "notes", postgresql_concurrently=True)
