"""one of two heads"""

from alembic import op

revision = "p2"
down_revision = "p1"


def upgrade():
    op.create_index("notes_place", "notes", ["place"])


def downgrade():
    op.drop_index("notes_place", "notes")
