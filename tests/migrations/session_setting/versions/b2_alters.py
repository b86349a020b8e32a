"""Writes down under which timeout it really ran."""

from alembic import op

revision = "b2"
down_revision = "a1"


def upgrade():
    op.execute("ALTER TABLE notes ADD COLUMN b2 int")
    op.execute("CREATE TABLE truth_b2 AS SELECT current_setting('lock_timeout') AS timeout")
