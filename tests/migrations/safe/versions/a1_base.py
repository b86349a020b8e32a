"""base"""

import sqlalchemy as sa
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text))
    op.execute("INSERT INTO notes (body) SELECT 'note ' || n FROM generate_series(1, 1000) n")


def downgrade():
    op.drop_table("notes")
