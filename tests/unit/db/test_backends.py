"""Which sessions are the migration's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness.db.backends import BackendFinder, Client

NAME = "mul-migration test"
SHOP = Client(1, "app", "shop", "127.0.0.1", 40001, started_at=2.0)
FRESH = replace(SHOP, pid=2, port=40002, started_at=26.0)
PSQL = Client(3, "app", "psql", None, -1, started_at=26.0)


def finder(known: Mapping[tuple[str, int], bool] | None = None) -> BackendFinder:
    found = BackendFinder(NAME, lambda _root: known or {})
    found.begin(25.0)
    return found


def find(
    found: BackendFinder, *clients: Client, announced: bool = False, now: float = 28.0
) -> dict[int, str]:
    return found.find(clients, 77, announced, now)


def test_a_session_is_told_by_its_name() -> None:
    assert find(finder(), SHOP, replace(FRESH, application=f"{NAME} worker")) == {2: "name"}


def test_a_session_is_told_by_the_process_at_the_other_end() -> None:
    assert find(finder({("127.0.0.1", 40002): True}), SHOP, FRESH) == {2: "port"}


def test_a_new_connection_of_the_service_is_not_the_migrations() -> None:
    assert find(finder({("127.0.0.1", 40002): False}), SHOP, FRESH) == {}
    assert find(finder(), SHOP, FRESH) == {}  # its process cannot be seen, but it is of a kind known before


def test_a_session_of_a_new_kind_is_told_by_time_once_it_has_lasted() -> None:
    assert find(finder(), SHOP, PSQL, now=26.5) == {}
    assert find(finder(), SHOP, PSQL, now=27.5) == {3: "time"}


def test_where_a_tracer_tells_time_does_not() -> None:
    assert find(finder(), SHOP, PSQL, announced=True) == {}
    assert find(finder({("127.0.0.1", 40002): True}), FRESH, announced=True) == {2: "port"}


def test_a_session_of_another_process_is_not_told_by_time() -> None:
    other = replace(PSQL, address="127.0.0.1", port=40003)
    assert find(finder({("127.0.0.1", 40003): False}), SHOP, other) == {}


def test_our_own_sessions_and_those_from_before_are_not_the_migrations() -> None:
    ours = replace(PSQL, application="mul-catalog")
    before = replace(PSQL, started_at=24.0)
    unseen = replace(PSQL, started_at=None)  # the role may not see it
    for client in (ours, before, unseen):
        assert find(finder(), SHOP, client) == {}


def test_connections_are_looked_up_once_for_each_session() -> None:
    asked = []

    def once(root: int) -> dict[tuple[str, int], bool]:
        asked.append(root)
        return {}

    found = BackendFinder(NAME, once)
    found.begin(25.0)
    for _ in range(3):
        find(found, SHOP, FRESH)
    assert asked == [77]


def test_looking_them_up_takes_a_share_of_its_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("harness.db.backends.monotonic", lambda: next(clock) * 0.1)  # a look takes 0.1 s
    found = finder({("127.0.0.1", 40002 + n): True for n in range(3)})
    late = [replace(FRESH, pid=2 + n, port=40002 + n, started_at=26.0 + n) for n in range(3)]
    assert find(found, *late[:1], now=28.0) == {2: "port"}
    assert find(found, *late[:2], now=28.9) == {2: "port"}
    assert find(found, *late, now=29.1) == {2: "port", 3: "port", 4: "port"}
