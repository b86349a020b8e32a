"""Rotates the signing key, as an operator does after a leak: every token that was issued is worth nothing."""

from __future__ import annotations

import uuid

import psycopg
from redis import Redis

from harness.target.channels import KEYS
from harness.target.settings import Settings
from harness.target.tokens import new_private_pem

__all__ = ["rotate_keys"]

_REPLACE = """
    INSERT INTO signing_keys (key_id, private_pem) VALUES (%s, %s)
    ON CONFLICT (only_one) DO UPDATE SET key_id = excluded.key_id, private_pem = excluded.private_pem
"""


def rotate_keys() -> None:
    """In one transaction a new key, no refresh tokens, and word of it to every process of the service."""
    settings = Settings.from_environment()
    with psycopg.connect(settings.libpq_url) as connection:
        connection.execute(_REPLACE, [str(uuid.uuid4()), new_private_pem()])
        connection.execute("DELETE FROM refresh_tokens")
        connection.execute(f"NOTIFY {KEYS}")
    if settings.cache_url is not None:
        with Redis.from_url(settings.cache_url) as cache:
            cache.publish(KEYS, "")
