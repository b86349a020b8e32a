"""The plan of one migration is checked by itself."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.errors import UsageError

COMMAND = {"command": "flask db upgrade"}


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"retries": -1}, "--migration-retries"),
        ({"deadline_s": 0.5}, "--migration-deadline"),
        ({"lock_timeout": "soon"}, "--lock-timeout"),
        ({"statement_timeout": "5 s; DROP TABLE t"}, "--statement-timeout"),
        ({"cwd": "src"}, "--migration-cwd is given, but no --migration-command"),
        ({"environment": (("A", "b"),)}, "--migration-env"),
        ({"rollback_command": "flask db downgrade"}, "--rollback-command"),
        ({"command": "migrate --token abc"}, "--migration-env NAME"),
        ({**COMMAND, "downgrade": "v1"}, "--rollback-command"),
        ({**COMMAND, "rollback_command": "flask db downgrade"}, "--downgrade REV"),
        (
            {**COMMAND, "upgrade": "safe@head"},
            "--upgrade is 'safe@head', which only the migration scripts",
        ),
        ({**COMMAND, "upgrade": "+1"}, "--upgrade"),
        ({**COMMAND, "expect_from": "safe@base"}, "--expect-from"),
    ],
)
def test_a_contradiction_is_refused_by_name_and_with_a_remedy(changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError) as refused:
        MigrationPlan(**changes).check()
    assert flag in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("timeout", ["500ms", "2s", "0", "1 min"])
def test_timeouts_are_written_as_postgresql_does(timeout: str) -> None:
    MigrationPlan(lock_timeout=timeout).check()
    MigrationPlan(statement_timeout=timeout).check()
