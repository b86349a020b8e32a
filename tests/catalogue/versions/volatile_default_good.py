"""The column, its default for new rows, then the old rows in batches."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "volatile_default_good"
down_revision = "schema"


def upgrade() -> None:
    gently(
        "ALTER TABLE busy ADD COLUMN token uuid",
        "ALTER TABLE busy ALTER COLUMN token SET DEFAULT gen_random_uuid()",
    )
    with op.get_context().autocommit_block():
        for last in range(500, 12_001, 500):
            op.execute(
                "UPDATE busy SET token = gen_random_uuid()"
                f" WHERE id > {last - 500} AND id <= {last} AND token IS NULL"
            )
