"""A column that is filled once: what the service writes later, it does not follow."""

from alembic import op

revision = "derived_column"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE notes ADD COLUMN slug text")
    op.execute("UPDATE notes SET slug = md5(title)")
