"""There is no NOT VALID for an exclusion constraint."""

from alembic import op

revision = "add_exclusion_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE busy ADD CONSTRAINT busy_once EXCLUDE USING gist (int8range(id, id, '[]') WITH &&)"
    )
