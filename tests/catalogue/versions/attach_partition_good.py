"""A valid check spares the scan."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "attach_partition_good"
down_revision = "schema"


def upgrade() -> None:
    gently("ALTER TABLE ptnew ADD CONSTRAINT ptnew_range CHECK (id >= 2001 AND id < 3001) NOT VALID")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE ptnew VALIDATE CONSTRAINT ptnew_range")
    gently(
        "ALTER TABLE pt ATTACH PARTITION ptnew FOR VALUES FROM (2001) TO (3001)",
        "ALTER TABLE ptnew DROP CONSTRAINT ptnew_range",
    )
