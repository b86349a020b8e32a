"""The first half of it: a wide column kept equal by a trigger and filled in batches."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "widen_integer_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute(
        "CREATE FUNCTION qty_to_wide() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN new.qty_wide := new.qty; RETURN new; END $$"
    )
    gently(
        "ALTER TABLE busy ADD COLUMN qty_wide bigint",
        "CREATE TRIGGER qty_to_wide BEFORE INSERT OR UPDATE ON busy FOR EACH ROW"
        " EXECUTE FUNCTION qty_to_wide()",
    )
    with op.get_context().autocommit_block():
        for last in range(500, 12_001, 500):
            op.execute(f"UPDATE busy SET qty_wide = qty WHERE id > {last - 500} AND id <= {last}")
