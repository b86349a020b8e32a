"""A number for every row rewrites the table."""

from alembic import op

revision = "identity_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE busy ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY")
