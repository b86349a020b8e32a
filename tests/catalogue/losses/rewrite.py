"""A rewrite is not MVCC-safe: to a transaction with a snapshot from before it, the table is empty.

https://www.postgresql.org/docs/current/mvcc-caveats.html
"""

from alembic import op

revision = "rewrite"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE notes ALTER COLUMN version TYPE bigint")
