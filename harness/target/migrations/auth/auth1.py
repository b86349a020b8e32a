"""The schema of the auth service's release N."""

from __future__ import annotations

from alembic import op

from harness.target.migrations.tables import TOKENS

revision = "auth1"
down_revision = None
branch_labels = None
depends_on = None

_ACCOUNTS = """
    CREATE TABLE accounts (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        password_hash text NOT NULL,
        scope text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
"""


def upgrade() -> None:
    for statement in (_ACCOUNTS, *TOKENS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE revoked_tokens, refresh_tokens, signing_keys, accounts")
