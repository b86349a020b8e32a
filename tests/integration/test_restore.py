"""Which program restores a dump, what it is told, and what is left of it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import cast

import psycopg
import pytest
from psycopg import Connection

from harness.db.dump import Dump
from harness.db.restore import read_contents, restore
from harness.db.url import DatabaseUrl
from harness.errors import SetupError, UsageError

pytestmark = pytest.mark.integration

LIST = """;
;     Dumped from database version: 16.4
;     Dumped by pg_dump version: 17.2
;
6; 2615 16385 SCHEMA - a shop_owner
2582; 0 0 COMMENT - EXTENSION pgcrypto 
221; 1259 16387 TABLE a t app
"""  # noqa: W291 - what belongs to nobody ends with a blank

NOBODY = cast("Connection", None)
"""No connection is asked about the owners of SQL."""


def a_program(folder: Path, name: str, script: str) -> Path:
    """A program in Python that says it is version 17.2, else does as the script says."""
    path = folder / name
    version = f"if '--version' in sys.argv: sys.exit(print('{name} (PostgreSQL) 17.2'))"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{version}\n{script}\n")
    path.chmod(0o755)
    return path


def url(password: str = "s3cr3t") -> DatabaseUrl:
    return DatabaseUrl.parse(f"postgresql://app:{password}@127.0.0.1:5433/shop?sslmode=disable")


def test_an_archives_contents_are_what_pg_restore_lists(tmp_path: Path) -> None:
    program = a_program(tmp_path, "pg_restore", f"print({LIST!r})")
    found = read_contents(Dump(tmp_path / "d", archive=True), tmp_path)
    assert (found.program, found.version, found.entries) == (program, "17.2", 3)
    assert found.owners == {"shop_owner", "app"}
    assert (found.dump.database, found.dump.program) == (16, 17)


def test_a_dump_is_listed_once_until_it_changes(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    ask = f"open({str(asked)!r}, 'a').write('-')"
    a_program(tmp_path, "pg_restore", f"{ask}\nprint({LIST!r})")
    dump = Dump(tmp_path / "d", archive=True)
    dump.path.write_bytes(b"PGDMP")
    first = read_contents(dump, tmp_path)
    assert read_contents(dump, tmp_path) == first
    assert asked.read_text() == "-"
    os.utime(dump.path, (1, 1))
    assert read_contents(dump, tmp_path) == first
    assert asked.read_text() == "--"


def test_a_dump_that_the_program_is_too_old_for_is_refused_with_its_version_and_words(tmp_path: Path) -> None:
    words = "pg_restore: error: unsupported version (1.16) in file header"
    a_program(tmp_path, "pg_restore", f"sys.exit({words!r})")
    with pytest.raises(UsageError) as refused:
        read_contents(Dump(tmp_path / "d", archive=True), tmp_path)
    assert f"17.2: {words}" in refused.value.message
    assert "--postgres-bin" in refused.value.remedy


def test_a_program_that_can_read_it_is_looked_for_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_program(tmp_path, "pg_restore", "sys.exit('unsupported version')")
    monkeypatch.setenv("PATH", str(tmp_path))
    newer = tmp_path / "wheel"
    newer.mkdir()
    a_program(newer, "pg_restore", f"print({LIST!r})")
    monkeypatch.setattr("harness.db.restore._packaged", lambda name: newer / name)
    assert read_contents(Dump(tmp_path / "d", archive=True), None).program == newer / "pg_restore"


def test_no_program_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("harness.db.restore._packaged", lambda _: None)
    with pytest.raises(SetupError, match="needs psql, which is not in PATH"):
        read_contents(Dump(tmp_path / "d", archive=False), None)
    with pytest.raises(UsageError, match="has no program psql"):
        read_contents(Dump(tmp_path / "d", archive=False), tmp_path)


def test_the_password_is_in_no_argument(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    a_program(
        tmp_path,
        "psql",
        f"json.dump([sys.argv, os.environ['PGPASSWORD'], sys.stdin.read()], open({str(told)!r}, 'w'))",
    )
    sql = tmp_path / "d.sql"
    sql.write_text("SELECT 1;")
    said: list[str] = []
    contents = read_contents(Dump(sql, archive=False), tmp_path)
    restore(contents, url(), NOBODY, tmp_path / "log", said.append, time.sleep)
    arguments, password, read = json.loads(told.read_text())
    assert password == "s3cr3t"
    assert "s3cr3t" not in " ".join(arguments)
    assert "dbname=shop" in " ".join(arguments)
    assert read == "SELECT 1;"
    assert said[-1] == "restored d.sql"


def test_what_psql_could_not_do_is_said_in_its_words(tmp_path: Path) -> None:
    a_program(tmp_path, "psql", "sys.exit('psql:<stdin>:3: ERROR:  syntax error at or near \"TABEL\"')")
    (tmp_path / "d.sql").write_text("CREATE TABEL t;")
    contents = read_contents(Dump(tmp_path / "d.sql", archive=False), tmp_path)
    with pytest.raises(SetupError, match="TABEL"):
        restore(contents, url(), NOBODY, tmp_path / "log", lambda _: None, time.sleep)


def test_a_restore_that_is_interrupted_leaves_no_program_behind(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hang = f"import time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    a_program(tmp_path, "psql", hang)
    (tmp_path / "d.sql").write_text("SELECT 1;")
    contents = read_contents(Dump(tmp_path / "d.sql", archive=False), tmp_path)

    def interrupted(seconds: float) -> None:
        if pid.exists() and pid.read_text():
            raise KeyboardInterrupt
        time.sleep(seconds)

    with pytest.raises(KeyboardInterrupt):
        restore(contents, url(), NOBODY, tmp_path / "log", lambda _: None, interrupted)
    assert not Path(f"/proc/{pid.read_text()}").exists()


def test_a_restore_that_was_killed_is_said_whatever_harmless_was_said_before(
    tmp_path: Path, database: str
) -> None:
    harmless = 'pg_restore: error: ERROR:  unrecognized configuration parameter "transaction_timeout"'
    killed = f"import signal; print({harmless!r}, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    a_program(tmp_path, "pg_restore", f"if '--list' in sys.argv: sys.exit(print({LIST!r}))\n{killed}")
    contents = read_contents(Dump(tmp_path / "d", archive=True), tmp_path)
    with (
        psycopg.connect(database) as connection,
        pytest.raises(SetupError, match=r"pg_restore 17\.2, which ended with signal 9") as failed,
    ):
        restore(contents, url(), connection, tmp_path / "log", lambda _: None, time.sleep)
    assert "transaction_timeout" in failed.value.remedy
