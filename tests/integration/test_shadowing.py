"""A project's own package `alembic` in the working folder is not taken for the library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.run.locust_process import locust_command

pytestmark = pytest.mark.integration

PROGRAM = "import harness.db, alembic.config; print(alembic.__version__, sys.path == before)"


def run_in(folder: Path, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; before = sys.path[:]; {program}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "alembic").mkdir()
    for name in ("__init__.py", "env.py"):
        (tmp_path / "alembic" / name).touch()
    return tmp_path


def test_the_library_is_found_past_a_folder_of_migrations(project: Path) -> None:
    shadowed = run_in(project, "import alembic.config")
    assert "No module named 'alembic.config'" in shadowed.stderr, "the folder does shadow the library"
    done = run_in(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(" True\n")


def test_nothing_is_imported_where_nothing_shadows(tmp_path: Path) -> None:
    done = run_in(tmp_path, "import harness.db; print('alembic' in sys.modules, sys.path == before)")
    assert done.stdout == "False True\n"


def test_a_projects_own_tests_keep_the_projects_own_package(project: Path) -> None:
    done = run_in(project, "import harness.pytest_plugin; import alembic; print(alembic.__file__)")
    assert done.stdout.strip() == str(project / "alembic" / "__init__.py")


def test_a_run_finds_its_libraries_in_a_folder_that_has_the_like(tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()
    for name in ("email.py", "queue.py"):
        (tmp_path / name).write_text("raise SystemExit('not the library')")
    done = subprocess.run(
        locust_command(["--version"]), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("locust ")
