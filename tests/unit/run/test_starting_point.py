"""What is refused of a starting point before anything is touched, and when a template is of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.errors import GuardError, UsageError
from harness.run.starting_point import _command_digest, check_starting_point

URL = "postgresql://app@127.0.0.1/shop"


def own(**changes: Any) -> Plan:
    return Plan(host="http://127.0.0.1:8000", database_url=URL, placebo=True, **changes)


def test_a_starting_point_that_can_be_reached_passes(tmp_path: Path) -> None:
    dump = tmp_path / "shop.sql"
    dump.write_text("SELECT 1;")
    plan = own(from_dump=str(dump), recreate_database=True, allow_database=("shop",))
    check_plan(plan)
    check_starting_point(plan)


def test_a_dump_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--from-dump"):
        check_starting_point(own(from_dump=str(tmp_path / "nothing")))


def test_a_database_that_was_not_named_is_refused() -> None:
    with pytest.raises(GuardError, match="--recreate-database"):
        check_starting_point(own(prepare="true", recreate_database=True))


def test_a_digest_is_of_words_and_of_the_files_among_them(tmp_path: Path) -> None:
    script = tmp_path / "seed.sh"
    script.write_text("echo 1")
    first = _command_digest(f"sh {script}")
    assert _command_digest(f"sh  {script}") == first
    assert _command_digest(f"sh {script} --fast") != first
    script.write_text("echo 2")
    assert _command_digest(f"sh {script}") != first
