"""the best first"""

from alembic import op

revision = "b2"
down_revision = "a1"


def upgrade():
    op.execute("UPDATE notes SET stars = 0")
    op.create_index("notes_stars", "notes", ["stars"])


def downgrade():
    op.drop_index("notes_stars", "notes")
