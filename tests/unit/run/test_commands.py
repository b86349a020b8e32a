"""The person's own commands: their words, and whether they may run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.errors import GuardError, UsageError
from harness.run.commands import check_command, check_traceable, command_words, folder_of, may_go_untraced

UNTRACED = "env -i flask db upgrade"


def plan(**changes: object) -> tuple[Plan, MigrationPlan]:
    given = {"migration_command": UNTRACED, "database_url": "postgresql://app@127.0.0.1/shop", **changes}
    made = Plan(host="http://127.0.0.1:8000", **given)  # type: ignore[arg-type]
    return made, made.steps[0]


def test_words_are_those_of_a_shell_without_its_rest() -> None:
    assert command_words("flask --app 'my shop' db upgrade") == ("flask", "--app", "my shop", "db", "upgrade")
    for text, said in (("", "names no command"), ("'", "cannot be read")):
        with pytest.raises(UsageError, match=f"--rollback-command {said}"):
            command_words(text, "--rollback-command")


def test_a_command_runs_in_its_folder(tmp_path: Path) -> None:
    assert folder_of(MigrationPlan(cwd=str(tmp_path))) == tmp_path
    assert folder_of(MigrationPlan()) == Path.cwd()


def test_a_program_is_looked_for_where_the_command_will(tmp_path: Path) -> None:
    program = tmp_path / "deploy"
    program.touch(0o755)
    check_command(MigrationPlan(command="./deploy up", cwd=str(tmp_path)))
    check_command(MigrationPlan(command="deploy up", environment=(("PATH", str(tmp_path)),)))
    with pytest.raises(UsageError, match="--rollback-command: there is no program deploy in PATH"):
        check_command(MigrationPlan(command=sys.executable, rollback_command="deploy down"))
    with pytest.raises(UsageError, match="--migration-cwd: there is no folder nowhere"):
        check_command(MigrationPlan(command="./deploy up", cwd="nowhere"))


def test_an_untraced_command_needs_its_database_named() -> None:
    with pytest.raises(GuardError, match="--allow-untraced-database shop") as refused:
        check_traceable(*plan())
    assert refused.value.exit_code == 3
    with pytest.raises(GuardError):
        check_traceable(*plan(allow_untraced_database=("other",)))
    check_traceable(*plan(allow_untraced_database=("shop",)))


def test_the_database_is_that_of_the_step_else_of_the_run_else_the_reference_services() -> None:
    whole, step = plan(allow_untraced_database=("shop",))
    assert may_go_untraced(whole, step)
    assert not may_go_untraced(whole, MigrationPlan(database_url="postgresql://app@127.0.0.1/billing"))
    assert may_go_untraced(Plan(allow_untraced_database=("shop",)), MigrationPlan())
