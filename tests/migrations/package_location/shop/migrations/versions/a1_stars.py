"""stars"""

import sqlalchemy as sa
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.add_column("notes", sa.Column("stars", sa.Integer))


def downgrade():
    op.drop_column("notes", "stars")
