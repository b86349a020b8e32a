"""something for each database"""

from alembic import op

revision = "a1"
down_revision = None


def upgrade(engine_name):
    globals()[f"upgrade_{engine_name}"]()


def upgrade_shop():
    op.execute("ALTER TABLE notes ADD COLUMN stars int")


def upgrade_archive():
    op.execute("ALTER TABLE notes ADD COLUMN archived boolean")
