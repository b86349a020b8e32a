"""Rotates the signing key, as an operator does after a leak: every token that was issued is worth nothing."""

from __future__ import annotations

import uuid

import psycopg

from harness.target.changes import KEYS
from harness.target.settings import Settings
from harness.target.tokens import new_private_pem

__all__ = ["rotate_keys"]

_REPLACE = """
    INSERT INTO signing_keys (key_id, private_pem) VALUES (%s, %s)
    ON CONFLICT (only_one) DO UPDATE SET key_id = excluded.key_id, private_pem = excluded.private_pem
"""


def rotate_keys() -> None:
    """One transaction: a new key, no refresh tokens, and word of it to every process of the service."""
    with psycopg.connect(Settings.from_environment().libpq_url) as connection:
        connection.execute(_REPLACE, [str(uuid.uuid4()), new_private_pem()])
        connection.execute("DELETE FROM refresh_tokens")
        connection.execute(f"NOTIFY {KEYS}")
