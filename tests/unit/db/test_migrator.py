"""The reading of scripts and configurations, without a database."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from harness.db.migrator import DatabaseMigrator, MigrationStatus, PendingRevision
from harness.errors import SetupError, UsageError

MIGRATIONS = Path(__file__).parents[2] / "migrations"
NOWHERE = "postgresql://me:hunter2@127.0.0.1:1/nothing"
"""Port 1 refuses at once."""


def migrator(scenario: str) -> DatabaseMigrator:
    return DatabaseMigrator(NOWHERE, alembic_config=MIGRATIONS / scenario / "alembic.ini")


def test_heads() -> None:
    assert migrator("safe").heads() == ("d4",)
    assert migrator("two_heads").heads() == ("left1", "right1")


@pytest.mark.parametrize(
    ("target", "revisions"),
    [
        ("heads", ("left1", "right1")),
        ("left@head", ("left1",)),
        ("right", ("right1",)),
        ("left1", ("left1",)),
        ("ro", ("root",)),
        ("base", ()),
    ],
)
def test_targets_that_need_no_database(target: str, revisions: tuple[str, ...]) -> None:
    assert migrator("two_heads").resolve(target) == revisions


def test_head_with_two_heads_names_both_and_the_way_out() -> None:
    with pytest.raises(UsageError) as caught:
        migrator("two_heads").resolve("head")

    assert "left1 (left), right1 (right)" in caught.value.message
    assert "left@head" in caught.value.remedy
    assert "heads" in caught.value.remedy


@pytest.mark.parametrize(("target", "near"), [("lefft", "left"), ("rigth@head", "right"), ("left2", "left1")])
def test_an_unknown_revision_names_the_nearest(target: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        migrator("two_heads").resolve(target)

    assert repr(target) in caught.value.message
    assert near in caught.value.remedy
    assert "left1 (left)" in caught.value.remedy


def test_a_missing_ini() -> None:
    with pytest.raises(UsageError, match=r"no Alembic configuration at .*/nowhere/alembic.ini"):
        migrator("nowhere").heads()


def test_an_ini_without_script_location(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\npath_separator = os\n")

    with pytest.raises(UsageError) as caught:
        DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "alembic.ini").heads()

    assert str(tmp_path / "alembic.ini") in caught.value.message
    assert "script_location = " in caught.value.remedy


def test_a_script_location_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/gone\n")

    with pytest.raises(UsageError, match=r"does not exist: .*/gone"):
        DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "alembic.ini").heads()


def test_an_ini_that_is_no_ini(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text("script_location = here\n")

    with pytest.raises(
        UsageError, match=r"alembic.ini is not a valid ini file: File contains no section headers"
    ):
        DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "alembic.ini").heads()


def test_a_script_that_cannot_be_imported_is_named_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"a1_broken.py, line 6, .*No module named 'no_such_library'"):
        migrator("broken").heads()


def write_scripts(folder: Path, **scripts: str) -> DatabaseMigrator:
    (folder / "alembic" / "versions").mkdir(parents=True)
    for name, text in scripts.items():
        (folder / "alembic" / "versions" / f"{name}.py").write_text(text)
    return DatabaseMigrator(NOWHERE, script_location=folder / "alembic")


def test_a_syntax_error_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/alembic/versions/a.py, line 2, cannot be read: SyntaxError"):
        write_scripts(tmp_path, a="revision = 'a'\ndown revision = None\n").heads()


def test_an_error_in_a_folder_named_alembic_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/alembic/versions/a.py, line 1, .*ZeroDivisionError"):
        write_scripts(tmp_path, a="revision = 1 / 0\n").heads()


def test_a_down_revision_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"do not fit together: .*gone"):
        write_scripts(tmp_path, a="revision = 'a'\ndown_revision = 'gone'\n").heads()


def test_a_script_folder_without_an_ini(tmp_path: Path) -> None:
    found = write_scripts(tmp_path, a="revision = 'a'\ndown_revision = None\n")

    assert found.heads() == ("a",)
    assert (
        found.config().get_main_option("sqlalchemy.url")
        == "postgresql+psycopg://me:hunter2@127.0.0.1:1/nothing"
    )


def test_relative_paths_start_at_the_ini_and_nothing_stays_on_the_path(tmp_path: Path) -> None:
    write_scripts(tmp_path, a="from house import NAME as revision\ndown_revision = None\n")
    (tmp_path / "house.py").write_text("NAME = 'abcd'\n")
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = alembic\nprepend_sys_path = .\n")
    path, folder = list(sys.path), Path.cwd()

    assert DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "alembic.ini").heads() == ("abcd",)
    assert (sys.path, Path.cwd()) == (path, folder)
    assert "house" not in sys.modules  # another project's may be called so too


def test_a_package_is_found_and_not_imported(tmp_path: Path) -> None:
    scripts = tmp_path / "shop" / "core" / "migrations"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "versions" / "a.py").write_text("revision = 'a'\ndown_revision = None\n")
    for package in (tmp_path / "shop", tmp_path / "shop" / "core"):
        (package / "__init__.py").write_text("raise RuntimeError('the whole application')\n")
    ini = tmp_path / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = shop.core:migrations\nprepend_sys_path = %(here)s\n")

    assert DatabaseMigrator(NOWHERE, alembic_config=ini).heads() == ("a",)


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    ini = tmp_path / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = shoop:migrations\n")

    with pytest.raises(UsageError, match="No module named 'shoop'"):
        DatabaseMigrator(NOWHERE, alembic_config=ini).heads()


def test_flask_migrates_ini_lies_among_its_scripts(tmp_path: Path) -> None:
    write_scripts(tmp_path, a="revision = 'a'\ndown_revision = None\n")
    (tmp_path / "alembic" / "env.py").write_text("raise RuntimeError('never run here')\n")
    (tmp_path / "alembic" / "alembic.ini").write_text("[alembic]\n")

    assert DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "alembic" / "alembic.ini").heads() == ("a",)


def test_an_ini_beside_a_pyproject_has_the_last_word(tmp_path: Path) -> None:
    write_scripts(tmp_path, a="revision = 'a'\ndown_revision = None\n")
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/gone"\n')
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")

    assert DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "pyproject.toml").heads() == ("a",)


def test_pyproject_toml(tmp_path: Path) -> None:
    write_scripts(tmp_path, a="revision = 'a'\ndown_revision = None\n")
    (tmp_path / "pyproject.toml").write_text('[tool.alembic]\nscript_location = "%(here)s/alembic"\n')

    assert DatabaseMigrator(NOWHERE, alembic_config=tmp_path / "pyproject.toml").heads() == ("a",)


def test_no_secret_is_shown() -> None:
    assert "hunter2" not in repr(migrator("safe"))
    with pytest.raises(SetupError) as caught:
        migrator("safe").current()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_status_reports_what_it_cannot_know(environment: str) -> None:
    given = MIGRATIONS / "safe" / "alembic.ini"
    status = DatabaseMigrator(NOWHERE, alembic_config=given, environment=environment).status()  # type: ignore[arg-type]

    assert (status.heads, status.current, status.needs_migration) == (("d4",), None, None)
    assert status.error is not None
    assert "nobody listens" in status.error
    assert "nobody listens" in status.text()
    assert "hunter2" not in status.text() + status.as_json()


def test_the_policy_for_problems() -> None:
    given = MIGRATIONS / "safe" / "alembic.ini"
    with pytest.raises(SetupError):
        migrator("safe").status()
    with pytest.raises(SetupError):
        DatabaseMigrator(NOWHERE, alembic_config=given, environment="staging").needs_migration()
    assert DatabaseMigrator(NOWHERE, alembic_config=given, environment="production").needs_migration() is None
    with pytest.raises(UsageError, match="no environment 'prod'"):
        DatabaseMigrator(NOWHERE, alembic_config=given, environment="prod")  # type: ignore[arg-type]


def test_status_in_words_and_as_json() -> None:
    pending = (PendingRevision("b2", "widen the key"),)
    status = MigrationStatus("postgresql://me:***@db/app", "head", (), ("b2",), pending, None)

    assert status.text() == (
        "database  postgresql://me:***@db/app\n"
        "current   base\n"
        "heads     b2\n"
        "target    head: 1 revision to run\n"
        "          b2  widen the key"
    )
    assert json.loads(status.as_json()) == {
        "database": "postgresql://me:***@db/app",
        "target": "head",
        "current": [],
        "heads": ["b2"],
        "pending": [{"revision": "b2", "doc": "widen the key"}],
        "needs_migration": True,
        "error": None,
    }
