"""What the service keeps in a Valkey or a Redis, when it is given one: documents that were read, the tokens
that were revoked, and the channels by which its processes hear of one another's changes.

A cached document belongs to a revision of the schema, so none of an older shape is shown after a migration.
It is forgotten before the write that changed it is acknowledged, and a reader that was overtaken by such a
write keeps nothing: `Found.writes`, which it hands back, is another one by then. What neither catches, a
process that dies between the commit and the forgetting, ends with the document's time in the cache.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

__all__ = ["Cache", "CacheError", "Found"]

CacheError = RedisError
"""What every method raises when the cache is away."""

KEPT_S = 300
"""How long a document is kept."""

_ANSWERS_WITHIN_S = 2.0
_WRITES = "writes"

_KEEP = """
if (redis.call('HGET', KEYS[1], 'writes') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return redis.call('EXPIRE', KEYS[1], ARGV[4])
"""


@dataclass(frozen=True)
class Found:
    """What is known of a document, and of the token by which it was asked for."""

    revoked: bool
    document: str | None
    writes: str


class Cache:
    """The cache of one service; shared by all its processes."""

    by_revision = True
    """Whether a document is kept for each revision of the schema apart; only a fault has it otherwise."""

    def __init__(self, url: str) -> None:
        # Once more and at once is for a connection that was closed while nobody used it.
        self._redis = _client(url, Retry(NoBackoff(), 1), socket_timeout=_ANSWERS_WITHIN_S)
        # A listener that connected again by itself would not know that it has missed something.
        self._listener = _client(url, Retry(NoBackoff(), 0), socket_keepalive=True)
        self._keep = self._redis.register_script(_KEEP)

    async def ping(self) -> None:
        await self._redis.ping()

    async def close(self) -> None:
        await self._redis.aclose()
        await self._listener.aclose()

    # documents

    async def find(self, token_id: uuid.UUID, account: str, document_id: uuid.UUID, revision: str) -> Found:
        """The document as JSON in the shape of `revision`, None where it is not kept."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.exists(_token(token_id))
            pipeline.hmget(_document(account, document_id), [_WRITES, self._shape(revision)])
            revoked, (writes, document) = await pipeline.execute()
        return Found(bool(revoked), document, writes or "")

    async def keep(
        self, account: str, document_id: uuid.UUID, revision: str, document: str, found: Found
    ) -> None:
        """Keep what was read from the database after `find`, unless it was written to meanwhile."""
        await self._keep(
            [_document(account, document_id)], [found.writes, self._shape(revision), document, KEPT_S]
        )

    async def written(self, account: str, documents: Sequence[uuid.UUID], channel: str, told: str) -> None:
        """Forget what was written to, in every shape, and publish what is told of it."""
        async with self._redis.pipeline() as pipeline:
            for document_id in documents:
                key = _document(account, document_id)
                pipeline.delete(key)
                pipeline.hset(key, _WRITES, uuid.uuid4().hex)
                pipeline.expire(key, KEPT_S)
            pipeline.publish(channel, told)
            await pipeline.execute()

    def _shape(self, revision: str) -> str:
        """The field in which a document is kept."""
        return f"as of {revision if self.by_revision else 'any revision'}"

    # tokens

    async def revoke(self, token_id: uuid.UUID, expires_at: int) -> None:
        """Refuse a token from now until its end, after which it is refused anyway."""
        left_s = expires_at - int(time.time()) + 1
        if left_s > 0:
            await self._redis.set(_token(token_id), 1, ex=left_s)

    async def is_revoked(self, token_id: uuid.UUID) -> bool:
        return bool(await self._redis.exists(_token(token_id)))

    # channels

    @asynccontextmanager
    async def listening(self, *channels: str) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        """What is published from now on, as pairs of a channel and what was told; ends by CacheError."""
        async with self._listener.pubsub() as subscription:
            await subscription.subscribe(*channels)
            messages = subscription.listen()
            for _ in channels:
                await anext(messages)  # until it has been told so, nobody is subscribed
            yield _told(messages)


async def _told(messages: AsyncIterator[dict[str, Any]]) -> AsyncIterator[tuple[str, str]]:
    async for message in messages:
        if message["type"] == "message":
            yield message["channel"], message["data"]


def _client(url: str, retry: Retry, **options: Any) -> Redis:
    return Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=_ANSWERS_WITHIN_S, retry=retry, **options
    )


def _document(account: str, document_id: uuid.UUID) -> str:
    return f"document:{account}:{document_id}"


def _token(token_id: uuid.UUID) -> str:
    return f"revoked:{token_id}"
