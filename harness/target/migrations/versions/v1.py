"""The schema of release N."""

from __future__ import annotations

from alembic import op

from harness.target.migrations.tables import RECORDS, RELOAD, TOKENS

# A revision id of its own, not a branch label: a label of the base would name all its descendants as well.
revision = "v1"
down_revision = None
branch_labels = None
depends_on = None

_ACCOUNTS = """
    CREATE TABLE accounts (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        password_hash text NOT NULL,
        scope text NOT NULL,
        last_seq bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 70)
"""


def upgrade() -> None:
    for statement in (_ACCOUNTS, *TOKENS, *RECORDS, *RELOAD):
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP TABLE transfers, wallets, events, documents, "
        "revoked_tokens, refresh_tokens, signing_keys, accounts"
    )
