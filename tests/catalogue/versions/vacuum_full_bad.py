"""The table is rewritten under ACCESS EXCLUSIVE."""

from alembic import op

revision = "vacuum_full_bad"
down_revision = "schema"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("VACUUM FULL busy")
