"""A Valkey or a Redis for the session: the machine's own, else the wheel's, which the extra `test` brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from harness.run.cache_server import EmbeddedCache, cache_program


@pytest.fixture(scope="session")
def cache_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = cache_program()
    assert program is not None, "pip install -e '.[test]' brings one"
    server = EmbeddedCache.start(program, tmp_path_factory.mktemp("cache") / "cache.log")
    try:
        yield server.url
    finally:
        server.stop()


def command(url: str, *words: str) -> Any:
    """The answer of a cache to a command."""
    with Redis.from_url(url, decode_responses=True) as client:
        return client.execute_command(*words)
