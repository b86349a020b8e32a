"""What a migration order makes of its fields."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from harness.db import migration
from harness.db.guard import Identity
from harness.db.migration import (
    TRACER,
    MigrationChild,
    MigrationOrder,
    TraceTail,
    expectation,
    terminate_backends,
)
from harness.db.url import DatabaseUrl
from harness.errors import SetupError

ORDER = MigrationOrder(
    direction="upgrade",
    target="safe@head",
    alembic_config=Path("/srv/app/alembic.ini"),
    run_id="20260101-demo",
    trace_file=Path("/run/trace.ndjson"),
    log_file=Path("/run/migration.log"),
)


def test_the_command_is_the_users_own() -> None:
    command = ORDER.command

    assert command[1:6] == ("-P", "-m", "alembic", "-c", "/srv/app/alembic.ini")
    assert command[6:] == ("upgrade", "safe@head")


def test_the_tracer_comes_first_and_what_was_there_stays() -> None:
    order = replace(ORDER, environment={"PYTHONPATH": "/theirs"})

    assert order.child_environment()["PYTHONPATH"] == f"{TRACER}{os.pathsep}/theirs"
    assert (TRACER / "sitecustomize.py").is_file()


def test_our_defaults_come_before_the_users_options_so_that_theirs_win() -> None:
    order = replace(
        ORDER,
        lock_timeout="5s",
        statement_timeout="1 min",
        environment={"PGOPTIONS": "-c lock_timeout=9s"},
    )
    environment = order.child_environment()

    assert environment["PGOPTIONS"] == ("-c lock_timeout=5s -c statement_timeout=1\\ min -c lock_timeout=9s")
    assert json.loads(environment["MUL_DEFAULT_OPTIONS"]) == {
        "lock_timeout": "5s",
        "statement_timeout": "1 min",
    }


def test_without_defaults_pgoptions_is_left_alone() -> None:
    order = replace(ORDER, environment={"PGOPTIONS": "-c work_mem=1MB"})

    assert order.child_environment()["PGOPTIONS"] == "-c work_mem=1MB"


def test_the_environment_is_not_shown() -> None:
    assert "hunter2" not in repr(replace(ORDER, environment={"DATABASE_URL": "postgresql://u:hunter2@h/d"}))


def test_expectation() -> None:
    assert expectation(Identity("7312", 16390, 180006, "app")) == "7312:16390"


def test_a_line_still_being_written_waits_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    tail = TraceTail(path)
    assert tail.read() == []

    path.write_bytes(b'{"kind":"hello"}\n{"kind":"by')
    assert tail.read() == [{"kind": "hello"}]
    assert tail.read() == []

    with path.open("ab") as file:
        file.write(b'e"}\nnonsense\n')
    assert tail.read() == [{"kind": "bye"}]
    assert tail.unreadable == 1


class Refusing:
    """A connection on which every statement is refused."""

    def __enter__(self) -> Refusing:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, *_: object) -> None:
        raise psycopg.errors.InsufficientPrivilege("permission denied to terminate process")


def test_backends_that_may_not_be_ended_are_a_setup_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "connect", lambda *_, **__: Refusing())

    with pytest.raises(SetupError, match="GRANT pg_signal_backend TO me"):
        terminate_backends(DatabaseUrl.parse("postgresql://me:hunter2@127.0.0.1/app"), [7])


class Stubborn:
    """A process that only SIGKILL ends."""

    pid = 4242

    def __init__(self, *_: object, **__: object) -> None:
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return -9 if signal.SIGKILL in self.signals else None

    def hear(self, pid: int, number: int) -> None:
        assert pid == self.pid
        self.signals.append(number)


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Stubborn:
    process = Stubborn()
    monkeypatch.setattr(os, "killpg", process.hear)
    return process


def started(process: Stubborn, folder: Path) -> MigrationChild:
    order = replace(ORDER, trace_file=folder / "trace", log_file=folder / "log")
    order.trace_file.write_text('{"kind":"hello"}\n')
    child = MigrationChild(order, lambda *_, **__: process)
    child.start()
    return child


def test_an_error_of_terminate_neither_spares_the_process_nor_hides_its_records(
    stubborn: Stubborn, tmp_path: Path
) -> None:
    def refuse(_: Sequence[int]) -> None:
        raise psycopg.errors.InsufficientPrivilege("permission denied")

    how, records = started(stubborn, tmp_path).stop(refuse, sleep=lambda _: None, grace_s=0)

    assert how == "killed"
    assert stubborn.signals == [signal.SIGINT, signal.SIGKILL, signal.SIGKILL]
    assert records == [{"kind": "hello"}]


def test_whatever_interrupts_the_stop_the_process_is_killed(stubborn: Stubborn, tmp_path: Path) -> None:
    def interrupted(_: Sequence[int]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        started(stubborn, tmp_path).stop(interrupted, sleep=lambda _: None, grace_s=0)

    assert stubborn.signals == [signal.SIGINT, signal.SIGKILL]
