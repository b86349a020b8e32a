"""The first half of it: the new column beside the old one, kept equal for the old release."""

from alembic import op

from harness.target.migrations.gently import gently

revision = "rename_column_good"
down_revision = "schema"


def upgrade() -> None:
    op.execute(
        "CREATE FUNCTION note_to_remark() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN new.remark := new.note; RETURN new; END $$"
    )
    gently(
        "ALTER TABLE busy ADD COLUMN remark text",
        "CREATE TRIGGER note_to_remark BEFORE INSERT OR UPDATE ON busy FOR EACH ROW"
        " EXECUTE FUNCTION note_to_remark()",
    )
