"""Writes down under which timeout it really ran."""

from alembic import op

revision = "d4"
down_revision = "c3"


def upgrade():
    op.execute("ALTER TABLE notes ADD COLUMN d4 int")
    op.execute("CREATE TABLE truth_d4 AS SELECT current_setting('lock_timeout') AS timeout")
