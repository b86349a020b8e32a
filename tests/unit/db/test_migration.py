"""What a migration order makes of its fields."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from harness.db.guard import Identity
from harness.db.migration import TRACER, MigrationOrder, TraceTail, expectation

ORDER = MigrationOrder(
    direction="upgrade",
    target="safe@head",
    alembic_config=Path("/srv/app/alembic.ini"),
    run_id="20260101-demo",
    trace_file=Path("/run/trace.ndjson"),
    log_file=Path("/run/migration.log"),
)


def test_the_command_is_the_users_own() -> None:
    command = replace(ORDER, x_args=("tenant=a", "dry=1")).command

    assert command[1:6] == ("-P", "-m", "alembic", "-c", "/srv/app/alembic.ini")
    assert command[6:] == ("-x", "tenant=a", "-x", "dry=1", "upgrade", "safe@head")


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
