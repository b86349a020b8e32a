"""the other module's history"""

from alembic import op

revision = "k1"
down_revision = None
branch_labels = ("billing",)


def upgrade():
    op.execute("ALTER TABLE notes ADD COLUMN price int")


def downgrade():
    op.drop_column("notes", "price")
