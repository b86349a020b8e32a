"""What the observer does with what it reads; `tests/integration/test_observer.py` has it on a server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from harness.clock import monotonic
from harness.core.observation import DatabasePoint, LogEntry
from harness.core.waits import Wait
from harness.db.observer import Observer
from harness.db.observer_order import Commands, Order
from harness.db.observer_reads import Server
from harness.db.server_log import LogTail, open_log

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
ACQUIRED_LATER = LogEntry(99.0, "lock_acquired", pid=5, pids=(5,), wait_s=3.0)


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
    observer._keep([WAIT, Wait(6, 99.9, 99.95, 99.92, "relation", "AccessShareLock")])
    assert [line["pid"] for line in written(tmp_path)] == [6]
    observer._release(0.5)
    assert [(line["pid"], line["provenance"]) for line in written(tmp_path)][1:] == [(5, "observed")]


class Quiet:
    """A server in which nobody waits; its connection lives, though a query of it may fail."""

    closed = False
    foreign: frozenset[int] = frozenset()
    leaders: dict[int, int] = {}  # noqa: RUF012

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing

    def locks(self, _pids: list[int]) -> tuple[list[object], list[object]]:
        if self.failing:
            raise psycopg.errors.QueryCanceled
        return [], []

    def sessions(self, _pids: object) -> dict[int, object]:
        return {}

    def names(self, _oids: object) -> dict[int, tuple[str, str]]:
        return {}


def poll(observer: Observer, *instants: float, failing: bool = False) -> None:
    server = cast("Server", Quiet(failing))
    for at in instants:
        observer._try(server, lambda at=at: observer._poll(server, at, 0.05))  # type: ignore[misc]


def state(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((path / "observer.json").read_text())
    return told


def test_a_poll_is_late_by_its_distance_from_the_one_before(observer: Observer, tmp_path: Path) -> None:
    poll(observer, 97.0, 97.05, 97.35, 97.40)  # one took 0.3 s, or the machine was busy
    observer._write_state()
    told = state(tmp_path)
    assert (told["late_max_s"], told["polls"], told["blind"]) == (0.25, 4, [])


def test_slow_polls_are_told_as_blindness(observer: Observer, tmp_path: Path) -> None:
    poll(observer, 95.0, 98.25, 98.30)
    observer._write_state()
    told = state(tmp_path)
    assert (told["late_max_s"], told["blind"]) == (3.2, [[95.0, 98.25]])


def test_failed_polls_are_told_as_blindness(observer: Observer, tmp_path: Path) -> None:
    poll(observer, 95.0)
    poll(observer, 95.05, 95.5, 96.0, failing=True)
    poll(observer, 96.5, 96.55)
    observer._write_state()
    told = state(tmp_path)
    assert (told["late_max_s"], told["polls"], told["blind"]) == (1.45, 3, [[95.0, 96.5]])


def test_polls_that_fail_to_the_end_are_told_as_blindness_at_the_end(
    observer: Observer, tmp_path: Path
) -> None:
    poll(observer, 95.0)
    poll(observer, 95.05, failing=True)
    observer._finish()
    told = state(tmp_path)
    assert told["blind"] == [[95.0, told["ended_at"]]]


def test_its_end_tells_how_many_lines_it_wrote(observer: Observer, tmp_path: Path) -> None:
    observer._write_state()
    assert (state(tmp_path)["waits"], state(tmp_path)["lines"]) == (None, None)
    observer._keep([WAIT, Wait(6, 99.9, 99.95, 99.92, "relation", "AccessShareLock")])
    observer._note(DatabasePoint(1.0))
    observer._finish()
    assert (state(tmp_path)["waits"], state(tmp_path)["lines"]) == (2, 1)


def test_files_are_there_from_the_start_though_nothing_is_written(observer: Observer, tmp_path: Path) -> None:
    observer.stop()
    observer.run()
    assert [(tmp_path / name).read_text() for name in ("locks.ndjson", "database.ndjson")] == ["", ""]
    assert (state(tmp_path)["waits"], state(tmp_path)["lines"]) == (0, 0)


def test_a_log_that_vanishes_is_not_read_and_stays_so(observer: Observer, tmp_path: Path) -> None:
    file = tmp_path / "postgres.log"
    file.touch()
    observer._log, _ = open_log(str(file), cast("psycopg.Connection", None))
    file.unlink()
    observer._read_log()
    assert not observer._observed.log_read
    assert observer._observed.why_no_log == (
        "The server's log postgres.log cannot be read: No such file or directory."
    )
    assert not observer._must_open_log


def test_a_long_wait_whose_end_nobody_saw_is_held_back_for_the_log(
    observer: Observer, tmp_path: Path
) -> None:
    observer._keep([Wait(5, 96.0, 96.8, 96.3, "relation", "AccessShareLock")])
    assert written(tmp_path) == []
    observer._take_in([ACQUIRED_LATER])
    assert [(line["ended_at"], line["provenance"]) for line in written(tmp_path)] == [(99.0, "exact")]


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


def test_a_secret_in_a_query_that_waits_is_not_written_down(observer: Observer, tmp_path: Path) -> None:
    observer._append("locks.ndjson", {"pid": 7, "query": "SELECT 1 /* api_key=hunter2 */"})
    written = (tmp_path / "locks.ndjson").read_text()
    assert json.loads(written) == {"pid": 7, "query": "SELECT 1 /* api_key=*** */"}
