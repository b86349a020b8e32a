"""Look first, lock never."""

from alembic import op
from sqlalchemy import inspect

from harness.target.migrations.gently import gently

revision = "column_if_not_exists_good"
down_revision = "schema"


def upgrade() -> None:
    columns = inspect(op.get_bind()).get_columns("busy")
    if all(column["name"] != "note" for column in columns):
        gently("ALTER TABLE busy ADD COLUMN note text")
