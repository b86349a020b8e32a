"""safe 1 of 6: nullable columns whose defaults serve the running release.

Adding a column without a default and setting the default afterwards rewrites nothing and leaves the old rows
null for the backfill. Release N keeps writing `size`; a trigger copies it into the wider `size_bytes`.
Dropping `size` belongs to the release after the next.
"""

from __future__ import annotations

from alembic import op

from harness.target.migrations.gently import gently

revision = "safe1"
down_revision = "v1"
branch_labels = ("safe",)
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE categories (id integer PRIMARY KEY, name text NOT NULL UNIQUE)")
    op.execute("INSERT INTO categories VALUES (1, 'general'), (2, 'finance'), (3, 'legal'), (4, 'people')")
    op.execute("""
        CREATE FUNCTION documents_copy_size() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.size_bytes := NEW.size; RETURN NEW; END'
    """)
    gently(
        "ALTER TABLE documents ADD share_id uuid, ADD category_id integer, ADD size_bytes bigint",
        "ALTER TABLE documents ALTER share_id SET DEFAULT gen_random_uuid(), ALTER category_id SET DEFAULT 1",
        """
        CREATE TRIGGER documents_copy_size BEFORE INSERT OR UPDATE OF size ON documents
        FOR EACH ROW EXECUTE FUNCTION documents_copy_size()
        """,
    )


def downgrade() -> None:
    gently(
        "DROP TRIGGER documents_copy_size ON documents",
        "ALTER TABLE documents DROP share_id, DROP category_id, DROP size_bytes",
    )
    op.execute("DROP FUNCTION documents_copy_size")
    op.execute("DROP TABLE categories")
