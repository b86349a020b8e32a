"""Which Python a command starts, and what is known of it before it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.db.interpreter import Python, find_program, python_of, why_untraceable
from harness.errors import UsageError

PATH = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


def program(folder: Path, name: str, text: str = "") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_is_found_as_a_process_in_that_folder_would_find_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    deploy = program(tmp_path / "bin", "deploy")
    (tmp_path / "notes").touch(0o644)
    assert find_program("bin/deploy", tmp_path, {}) == deploy
    assert find_program("deploy", tmp_path, {"PATH": str(deploy.parent)}) == deploy
    assert find_program("deploy", tmp_path, {"PATH": "/usr/bin"}) is None
    assert find_program("./notes", tmp_path, {}) is None  # it may not be executed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-m", "alembic", "upgrade"), Python("python3", (), "alembic", True)),
        (("-malembic", "upgrade"), Python("python3", (), "alembic", True)),
        (("-Im", "alembic"), Python("python3", ("-I",), "alembic", True)),
        (
            ("-W", "error", "-B", "scripts/deploy.py", "-m"),
            Python("python3", ("-W", "error", "-B"), "deploy.py"),
        ),
        (("-c", "import alembic"), Python("python3")),
        ((), Python("python3")),
    ],
)
def test_the_arguments_of_a_python(arguments: tuple[str, ...], expected: Python, tmp_path: Path) -> None:
    python = program(tmp_path, "python3")
    found = python_of(("./python3", *arguments), tmp_path, {})
    assert found == Python(str(python), *list(vars(expected).values())[1:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/venv/bin/python3.12 -E\n", Python("/venv/bin/python3.12", ("-E",), "flask")),
        ("#!/no/such/bin/env python3\n", Python("PATH", (), "flask")),
        (
            "#!/bin/sh\n'''exec' \"/a venv/bin/python\" \"$0\" \"$@\"\n' '''\n",
            Python("/a venv/bin/python", (), "flask"),
        ),
        ("#!/bin/sh\nexec flask db upgrade\n", None),
        ("\x7fELF", None),
    ],
)
def test_the_python_of_a_script(text: str, expected: Python | None, tmp_path: Path) -> None:
    program(tmp_path, "flask", text)
    found = python_of(("./flask", "db", "upgrade"), tmp_path, PATH)
    if expected is not None and expected.path == "PATH":
        expected = Python(str(find_program("python3", tmp_path, PATH)), (), "flask")
    assert found == expected


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("env", "-i", "alembic"), "env -i hides the environment"),
        (("/usr/bin/env", "PYTHONPATH=.", "alembic"), "hides the environment"),
        (("env", "A=b", "psql", "-f", "x.sql"), "psql: it is no Python program"),
        (("docker", "compose", "run", "app", "alembic"), "docker: what it runs does not inherit"),
        (("env", "-u", "A", "alembic"), ""),
        (("sh", "-c", "alembic upgrade head"), ""),
    ],
)
def test_what_is_known_without_looking_at_a_python(words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    found = why_untraceable(words, tmp_path, PATH)
    assert found.startswith(why) if why.startswith(("env", "psql", "docker")) or not why else why in found
    assert bool(found) == bool(why)


def test_a_shebang_that_leads_nowhere_is_said(tmp_path: Path) -> None:
    program(tmp_path, "alembic", "#!/gone/bin/python\n")
    with pytest.raises(UsageError, match=r"\./alembic is run by /gone/bin/python, which cannot be started"):
        why_untraceable(("./alembic", "upgrade", "head"), tmp_path, PATH)
