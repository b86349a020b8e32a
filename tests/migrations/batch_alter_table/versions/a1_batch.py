"""several changes of one table at once; `always` copies it"""

import sqlalchemy as sa
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    with op.batch_alter_table("notes") as batch:
        batch.add_column(sa.Column("stars", sa.Integer))
        batch.alter_column("body", nullable=False)
    with op.batch_alter_table("notes", recreate="always") as batch:
        batch.add_column(sa.Column("place", sa.Integer))


def downgrade():
    with op.batch_alter_table("notes") as batch:
        batch.drop_column("stars")
        batch.drop_column("place")
