"""a column that is not there"""

from alembic import op

revision = "c3"
down_revision = "b2"


def upgrade():
    op.execute("UPDATE notes SET moons = 0")


def downgrade():
    pass
