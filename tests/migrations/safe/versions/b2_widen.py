"""widen the key"""

import sqlalchemy as sa
from alembic import op

revision = "b2"
down_revision = "a1"


def upgrade():
    op.execute("SET LOCAL lock_timeout = '7s'")
    op.alter_column("notes", "id", type_=sa.BigInteger)
    op.add_column("notes", sa.Column("stars", sa.Integer))
    for _ in range(30):
        op.execute("UPDATE notes SET stars = 0 WHERE id = 1")


def downgrade():
    op.drop_column("notes", "stars")
    op.alter_column("notes", "id", type_=sa.Integer)
