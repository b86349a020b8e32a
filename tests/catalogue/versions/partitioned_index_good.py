"""Each partition's index beside reads and writes, then attached."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "partitioned_index_good"
down_revision = "schema"


def upgrade() -> None:
    gently("CREATE INDEX pt_v ON ONLY pt (v)")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY pt1_v ON pt1 (v)")
        op.execute("CREATE INDEX CONCURRENTLY pt2_v ON pt2 (v)")
        op.execute("ALTER INDEX pt_v ATTACH PARTITION pt1_v")
        op.execute("ALTER INDEX pt_v ATTACH PARTITION pt2_v")
