"""DDL inside a DO block, where no linter looks."""

from alembic import op

revision = "do_block_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("""
        DO $$
        BEGIN
            ALTER TABLE busy ADD CONSTRAINT busy_qty CHECK (qty >= 0);
        END
        $$
    """)
