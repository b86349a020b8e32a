"""Fills an empty database: the schema of release N, accounts that share one password, wallets and documents.

Everything is a function of its number. Account n is `account-0001` …; document n belongs to account `(n - 1)
% accounts + 1` and has the id `00000000-0000-7000-8000-<n in hex>`: ids that grow with time, as UUIDv7 gives,
so that neighbours by key are neighbours on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from redis import Redis

from harness.target.channels import KEYS
from harness.target.migrations.tables import RELOAD, UNLOAD
from harness.target.passwords import hash_password
from harness.target.settings import Settings

__all__ = ["seed"]

_ACCOUNTS = """
    INSERT INTO accounts (name, password_hash, scope)
    SELECT 'account-' || lpad(n::text, 4, '0'), %(password_hash)s, 'read write'
    FROM generate_series(1, %(accounts)s) n
    UNION ALL SELECT 'operator', %(password_hash)s, 'read write migration_test'
"""
_NAMES = """
    INSERT INTO accounts (name)
    SELECT 'account-' || lpad(n::text, 4, '0') FROM generate_series(1, %(accounts)s) n
    UNION ALL SELECT 'operator'
"""
_WALLETS = """
    INSERT INTO wallets (account_id, name, balance)
    SELECT id, kind || ' of canary:' || name, 10000
    FROM accounts CROSS JOIN unnest(ARRAY['main', 'savings', 'travel']) kind ORDER BY id, kind
"""
_DOCUMENTS = """
    INSERT INTO documents (id, account_id, title, body, status, tags, size, created_at, updated_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
        owner.id,
        'Document ' || n || ' of canary:' || owner.name,
        content.body,
        CASE WHEN n %% 10 < 2 THEN 'draft' WHEN n %% 10 = 2 THEN 'archived' ELSE 'active' END,
        ARRAY[(ARRAY['general', 'finance', 'legal', 'people'])[n %% 4 + 1]],
        octet_length(content.body), written.at, written.at
    FROM generate_series(1, %(rows)s) n
    JOIN (
        SELECT row_number() OVER (ORDER BY id) - 1 AS place, id, name FROM accounts WHERE name <> 'operator'
    ) owner ON owner.place = (n - 1) %% %(accounts)s
    CROSS JOIN LATERAL (SELECT 'canary:' || owner.name || ' ' || repeat(md5(n::text), 10) AS body) content
    CROSS JOIN LATERAL (SELECT now() - make_interval(secs => %(rows)s - n) AS at) written
"""


_KEPT = (_WALLETS, *UNLOAD, _DOCUMENTS, *RELOAD)


@dataclass(frozen=True)
class Filling:
    """How the database of a role is filled: its schema of release N, and what goes into it."""

    config: str
    revision: str
    statements: tuple[str, ...]
    tables: str


_FILLINGS = {
    "all": Filling("alembic.ini", "v1", (_ACCOUNTS, *_KEPT), "accounts, wallets, documents"),
    "auth": Filling("alembic-auth.ini", "auth1", (_ACCOUNTS,), "accounts"),
    "api": Filling("alembic-api.ini", "api1", (_NAMES, *_KEPT), "accounts, wallets, documents"),
}


def seed(rows: int, accounts: int, existing: str = "refuse") -> None:
    """Raises SystemExit when the numbers make no sense or the database already holds accounts.

    `existing` says what becomes of a database that holds accounts: `refuse`, `keep` it as it is, or `replace`
    all that is in it, at whichever revision; then the cache is emptied, too.
    """
    if rows < 0 or accounts < 1:
        raise SystemExit(f"--rows {rows} --accounts {accounts}: rows must be 0 or more, accounts 1 or more.")
    settings = Settings.from_environment()
    if existing == "keep" and _filled(settings):
        return
    if existing == "replace":
        _empty(settings)
    filling = _FILLINGS[settings.role]
    command.upgrade(Config(str(Path(__file__).with_name(filling.config))), filling.revision)
    with psycopg.connect(settings.libpq_url) as connection:
        _refuse_unless_empty(connection)
        values = {"password_hash": hash_password(settings.seed_password), "rows": rows, "accounts": accounts}
        for statement in filling.statements:
            connection.execute(statement, values)
        connection.commit()
        # As a table that has been in use looks to the planner; without it autovacuum starts in mid-run.
        connection.autocommit = True
        connection.execute(f"VACUUM (ANALYZE) {filling.tables}")


def _filled(settings: Settings) -> bool:
    with psycopg.connect(settings.libpq_url) as connection:
        if connection.execute("SELECT to_regclass('accounts')").fetchone() == (None,):
            return False
        return connection.execute("SELECT EXISTS (SELECT FROM accounts)").fetchone() == (True,)


def _empty(settings: Settings) -> None:
    """Processes of the service that run are told to read the signing key anew: theirs went with the rest."""
    with psycopg.connect(settings.libpq_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute(f"NOTIFY {KEYS}")
    if settings.cache_url is not None:
        with Redis.from_url(settings.cache_url) as cache:
            cache.flushdb()
            cache.publish(KEYS, "")


def _refuse_unless_empty(connection: psycopg.Connection) -> None:
    found = connection.execute("SELECT count(*) FROM accounts").fetchone()
    if found != (0,):
        raise SystemExit(
            f"The database already holds {found and found[0]} accounts; seed wants an empty one."
        )
