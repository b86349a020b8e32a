"""Writes down under which timeout it really ran."""

from alembic import op

revision = "c3"
down_revision = "b2"


def upgrade():
    op.execute("ALTER TABLE notes ADD COLUMN c3 int")
    op.execute("CREATE TABLE truth_c3 AS SELECT current_setting('lock_timeout') AS timeout")
