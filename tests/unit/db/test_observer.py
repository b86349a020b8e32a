"""What the observer does with what it reads; `tests/integration/test_observer.py` has it on a server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clock import monotonic
from harness.core.observation import DatabasePoint, LogEntry
from harness.core.waits import Wait
from harness.db.observer import Observer
from harness.db.observer_order import Commands, Order
from harness.db.observer_reads import Server
from harness.db.server_log import LogTail

URL = "postgresql://u:secret@127.0.0.1/shop"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError as error:  # the test closed it
            assert error.errno == 9  # noqa: PT017


@pytest.fixture
def observer(tmp_path: Path, pipe: tuple[int, int]) -> Iterator[Observer]:
    """One in the hundredth second of its run, with a log to wait for."""
    order = Order(tmp_path, URL, monotonic() - 100.0, None, {}, "mul-migration test")
    found = Observer(order, Commands(pipe[0]))
    found._log = cast("LogTail", object())
    yield found
    found._directory.close()


def written(path: Path) -> list[dict[str, Any]]:
    file = path / "locks.ndjson"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


WAIT = Wait(5, 95.0, 99.01, 99.0, "relation", "AccessShareLock")
ACQUIRED = LogEntry(99.0, "lock_acquired", pid=5, pids=(5,), wait_s=4.0)


@pytest.mark.parametrize("log_first", [True, False])
def test_the_log_may_come_before_or_after_the_poll_that_misses_the_wait(
    observer: Observer, tmp_path: Path, log_first: bool
) -> None:
    for step in (0, 1) if log_first else (1, 0):
        if step == 0:
            observer._take_in([ACQUIRED])
        else:
            observer._keep([WAIT])
    observer._take_in([])
    ((line),) = written(tmp_path)
    assert (line["ended_at"], line["provenance"]) == (99.0, "exact")


def test_a_long_wait_is_held_back_only_so_long_and_a_short_one_not_at_all(
    observer: Observer, tmp_path: Path
) -> None:
    observer._keep([WAIT, Wait(6, 98.9, 99.0, 98.98, "relation", "AccessShareLock")])
    assert [line["pid"] for line in written(tmp_path)] == [6]
    observer._release(0.5)
    assert [(line["pid"], line["provenance"]) for line in written(tmp_path)][1:] == [(5, "observed")]


def test_counters_count_from_the_start_less_its_own_and_survive_a_crash(observer: Observer) -> None:
    def counted(commits: int, own: int) -> object:
        server = cast("Server", SimpleNamespace(transactions=own))
        return observer._counters(DatabasePoint(1.0, commits=commits), server)

    assert counted(1000, 4) == {"commits": 0}
    assert counted(1120, 20) == {"commits": 100}
    assert counted(50, 10) == {"commits": 140}  # the statistics began anew


def test_commands_come_line_by_line(pipe: tuple[int, int]) -> None:
    commands = Commands(pipe[0])
    os.write(pipe[1], b'{"a": 1}\n{"migrating": true}\n{"sto')
    assert commands.first() == {"a": 1}
    assert commands.wait(0) == [{"migrating": True}]
    assert commands.wait(0) == []
    os.write(pipe[1], b'p": true}\n')
    assert commands.wait(1) == [{"stop": True}]
    os.close(pipe[1])
    assert (commands.wait(1), commands.ended, commands.first()) == ([], True, None)


def test_an_order_reads_back_and_does_not_show_its_password() -> None:
    order = Order(Path("/runs/1"), URL, 5.0, None, {"service": 7}, "mul-migration 1")
    assert Order.from_json(json.loads(json.dumps(order.as_json()))) == order
    assert "secret" not in repr(order)
