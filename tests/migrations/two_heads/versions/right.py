"""the right one"""

from alembic import op

revision = "right1"
down_revision = "root"
branch_labels = ("right",)


def upgrade():
    op.execute("CREATE TABLE right_table (id int)")


def downgrade():
    op.execute("DROP TABLE right_table")
