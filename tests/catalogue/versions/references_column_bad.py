"""REFERENCES with the column locks the other table's writers out as well."""

from alembic import op

revision = "references_column_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER TABLE busy ADD COLUMN payer_id bigint REFERENCES customers")
