"""What only other DDL waits for."""

from alembic import op

revision = "harmless_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute("COMMENT ON TABLE busy IS 'orders'")
    op.execute("ALTER TABLE busy SET (autovacuum_vacuum_scale_factor = 0.01)")
    op.execute("ALTER TABLE busy ALTER COLUMN code SET STATISTICS 500")
    op.execute("CREATE STATISTICS busy_code ON tenant_id, customer_id FROM busy")
    op.execute("ANALYZE busy")
