"""The schema of the api service's release N; of an account it knows the name alone."""

from __future__ import annotations

from alembic import op

from harness.target.migrations.tables import RECORDS, RELOAD

revision = "api1"
down_revision = None
branch_labels = None
depends_on = None

_ACCOUNTS = """
    CREATE TABLE accounts (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        last_seq bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 70)
"""


def upgrade() -> None:
    for statement in (_ACCOUNTS, *RECORDS, *RELOAD):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE transfers, wallets, events, documents, accounts")
