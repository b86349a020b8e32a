"""The tables of release N, for the histories that make them: all in one database, or in one for each role."""

from __future__ import annotations

__all__ = ["RECORDS", "RELOAD", "TOKENS", "UNLOAD"]

TOKENS = (
    """
    CREATE TABLE signing_keys (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
        key_id text NOT NULL,
        private_pem text NOT NULL
    )
    """,
    """
    CREATE TABLE refresh_tokens (
        digest bytea PRIMARY KEY,
        account_id integer NOT NULL REFERENCES accounts ON DELETE CASCADE,
        scope text NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE revoked_tokens (
        token_id uuid PRIMARY KEY,
        expires_at timestamptz NOT NULL
    )
    """,
)
"""What belongs to the accounts' tokens; the table `accounts` comes first."""

RECORDS = (
    """
    CREATE TABLE documents (
        id uuid PRIMARY KEY,
        account_id integer NOT NULL,
        title text NOT NULL,
        body text NOT NULL,
        status text NOT NULL DEFAULT 'active',
        tags text[] NOT NULL DEFAULT '{}',
        size integer NOT NULL,
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE events (
        account_id integer NOT NULL,
        seq bigint NOT NULL,
        document_id uuid NOT NULL,
        version integer NOT NULL,
        op text NOT NULL,
        committed_at double precision NOT NULL,
        PRIMARY KEY (account_id, seq)
    )
    """,
    """
    CREATE TABLE wallets (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account_id integer NOT NULL REFERENCES accounts ON DELETE CASCADE,
        name text NOT NULL,
        balance bigint NOT NULL CHECK (balance >= 0)
    )
    """,
    "CREATE INDEX wallets_account_idx ON wallets (account_id)",
    """
    CREATE TABLE transfers (
        id uuid PRIMARY KEY,
        account_id integer NOT NULL REFERENCES accounts ON DELETE CASCADE,
        source_id integer NOT NULL REFERENCES wallets,
        target_id integer NOT NULL REFERENCES wallets,
        amount bigint NOT NULL CHECK (amount > 0),
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)
"""What accounts keep, without `RELOAD`; the table `accounts` comes first."""

UNLOAD = (
    "ALTER TABLE documents DROP CONSTRAINT documents_account_id_fkey",
    "DROP INDEX documents_account_id_idx, documents_updated_idx",
)
RELOAD = (
    """
    ALTER TABLE documents ADD CONSTRAINT documents_account_id_fkey
    FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE
    """,
    "CREATE INDEX documents_account_id_idx ON documents (account_id, id)",
    "CREATE INDEX documents_updated_idx ON documents (account_id, updated_at)",
)
"""Cheaper to make over a full table than to keep while it fills: seeding takes it off and puts it back."""
