"""The index; the key for new rows; the old rows looked up beside writes."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "add_foreign_key_good"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index("busy_customer_id", "busy", ["customer_id"], postgresql_concurrently=True)
    gently(
        "ALTER TABLE busy ADD CONSTRAINT busy_payer FOREIGN KEY (customer_id) REFERENCES customers NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE busy VALIDATE CONSTRAINT busy_payer")
