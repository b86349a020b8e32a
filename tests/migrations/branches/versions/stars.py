"""the branch of the stars"""

import sqlalchemy as sa
from alembic import op

revision = "s1"
down_revision = None
branch_labels = ("stars",)


def upgrade():
    op.add_column("notes", sa.Column("stars", sa.Integer))


def downgrade():
    op.drop_column("notes", "stars")
