"""A sequence for new rows, then the old rows in batches."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "identity_column_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute("CREATE SEQUENCE busy_number_seq")
    gently(
        "ALTER TABLE busy ADD COLUMN number bigint",
        "ALTER TABLE busy ALTER COLUMN number SET DEFAULT nextval('busy_number_seq')",
    )
    with op.get_context().autocommit_block():
        for last in range(500, 12_001, 500):
            op.execute(
                "UPDATE busy SET number = nextval('busy_number_seq')"
                f" WHERE id > {last - 500} AND id <= {last} AND number IS NULL"
            )
