"""Whether a pooler stands between the observer and the server, and whose waits those of workers are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from harness.core.wait_fold import Sight
from harness.db.observer_reads import _pooler, by_leader


class Client:
    """A connection that believes to be served by `announced`, and is by the next of `serving`."""

    def __init__(self, announced: int, *serving: int) -> None:
        self.info = SimpleNamespace(backend_pid=announced)
        self._serving = list(serving)

    def execute(self, query: str, prepare: bool) -> Any:
        pid = self._serving.pop(0) if len(self._serving) > 1 else self._serving[0]
        return SimpleNamespace(fetchone=lambda: (pid,))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (Client(7, 7), Client(8, 8), ""),
        (Client(901, 7), Client(902, 7), "transaction mode"),  # both are served by one backend
        (Client(901, 7, 9), Client(902, 8), "transaction mode"),  # it was served by two
        (Client(901, 7, 7, 9), Client(902, 8), "transaction mode"),
        (Client(901, 7), Client(902, 8), "a connection pooler or proxy"),
    ],
)
def test_the_pid_tells(first: Client, second: Client, said: str) -> None:
    found = _pooler(cast("psycopg.Connection", first), lambda: cast("psycopg.Connection", second))
    assert said in found
    assert bool(found) == bool(said)


def waits(pid: int, since: float | None, *blocking: int) -> Sight:
    return Sight(pid, since, "relation", "ShareLock", "documents", 1, blocking)


def test_what_workers_wait_for_is_their_leaders_wait_since_the_first_of_them() -> None:
    seen = [waits(21, 8.0, 5, 5), waits(22, 7.0, 5), waits(23, None, 5), waits(30, 6.0, 20)]
    assert by_leader(seen, {21: 20, 22: 20, 23: 20}) == [waits(20, 7.0, 5), waits(30, 6.0, 20)]


def test_a_leader_that_waits_for_its_own_worker_is_not_its_own_blocker() -> None:
    assert by_leader([waits(20, 8.0, 20, 5)], {}) == [waits(20, 8.0, 5)]
