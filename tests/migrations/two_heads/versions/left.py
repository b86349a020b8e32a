"""the left one"""

from alembic import op

revision = "left1"
down_revision = "root"
branch_labels = ("left",)


def upgrade():
    op.execute("CREATE TABLE left_table (id int)")


def downgrade():
    op.execute("DROP TABLE left_table")
