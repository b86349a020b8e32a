"""The plan file is found where a person expects it, and one that cannot be read is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.core.plan_file import NO_FILE
from harness.errors import UsageError
from harness.run.plan_file import find_plan_file, named_plan_file

LOAD = "[load]\nusers = 3\n"
TABLE = "[tool.migrate-under-load.load]\nusers = 4\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MUL_PLAN", raising=False)
    return tmp_path


def test_no_file_is_an_empty_plan_file(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.ruff]\nline-length = 80\n")
    assert find_plan_file(None) == NO_FILE


@pytest.mark.parametrize(("name", "text", "users"), [("harness.toml", LOAD, 3), ("pyproject.toml", TABLE, 4)])
def test_the_working_folders_file_is_found(folder: Path, name: str, text: str, users: int) -> None:
    (folder / name).write_text(text)
    file = find_plan_file(None)
    assert (file.path, file.defaults) == (name, {"num_users": users})


def test_two_files_are_refused_unless_one_is_named(folder: Path) -> None:
    (folder / "harness.toml").write_text(LOAD)
    (folder / "pyproject.toml").write_text(TABLE)
    with pytest.raises(UsageError, match="Two plan files") as refused:
        find_plan_file(None)
    assert "--plan harness.toml" in refused.value.remedy
    assert find_plan_file("pyproject.toml").defaults == {"num_users": 4}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.toml", "nowhere.toml cannot be read: No such file"),
        (".", "cannot be read: Is a directory"),
        ("latin1.toml", "latin1.toml is not UTF-8"),
        ("pyproject.toml", r"pyproject.toml has no \[tool.migrate-under-load\]"),
    ],
)
def test_a_named_file_that_is_none_is_refused(folder: Path, name: str, words: str) -> None:
    (folder / "latin1.toml").write_bytes(b"[ignore]\ncreate-index = 'zehn Eintr\xe4ge'\n")
    (folder / "pyproject.toml").write_text("[tool.ruff]\n")
    with pytest.raises(UsageError, match=words) as refused:
        find_plan_file(name)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("argv", "environment", "named"),
    [
        ((), None, None),
        ((), "env.toml", "env.toml"),
        (("--plan", "a.toml"), "env.toml", "a.toml"),
        (("--headless", "--plan=b.toml"), None, "b.toml"),
        (("--plan", "a.toml", "--plan", "b.toml"), None, "b.toml"),
        (("--placebo",), None, None),
    ],
)
def test_the_flag_goes_before_the_variable(
    argv: Sequence[str], environment: str | None, named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment:
        monkeypatch.setenv("MUL_PLAN", environment)
    assert named_plan_file(argv) == named
