"""the branch of the places, which needs the stars"""

from alembic import op

revision = "p1"
down_revision = None
branch_labels = ("places",)
depends_on = ("stars",)


def upgrade():
    op.execute("ALTER TABLE notes ADD COLUMN place int DEFAULT 0")


def downgrade():
    op.drop_column("notes", "place")
