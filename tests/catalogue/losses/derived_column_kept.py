"""Likewise, but a trigger keeps it from then on."""

from alembic import op

revision = "derived_column_kept"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE notes ADD COLUMN slug text")
    op.execute("""
        CREATE FUNCTION keep_slug() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.slug := md5(NEW.title); RETURN NEW; END'
    """)
    op.execute("""
        CREATE TRIGGER keep_slug BEFORE INSERT OR UPDATE OF title ON notes
        FOR EACH ROW EXECUTE FUNCTION keep_slug()
    """)
    op.execute("UPDATE notes SET slug = md5(title)")
