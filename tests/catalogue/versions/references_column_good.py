"""The column and its index; the key for new rows; the old rows checked beside writes."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "references_column_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE busy ADD COLUMN payer_id bigint")
    with op.get_context().autocommit_block():
        op.create_index("busy_payer_id", "busy", ["payer_id"], postgresql_concurrently=True)
    gently("ALTER TABLE busy ADD CONSTRAINT busy_payer FOREIGN KEY (payer_id) REFERENCES customers NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_payer")
