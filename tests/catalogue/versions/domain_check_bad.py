"""A domain's check scans every table that uses it, its writers waiting."""

from alembic import op

revision = "domain_check_bad"
down_revision = "schema"


def upgrade() -> None:
    op.execute("ALTER DOMAIN weight ADD CONSTRAINT weight_limit CHECK (VALUE < 1000)")
