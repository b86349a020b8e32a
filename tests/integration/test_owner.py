"""Whether the process that made something still lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.clock import wait_until
from harness.run.owner import lives, this_process

SAY = "from harness.run.owner import this_process; print(this_process(), flush=True); input()"


def test_this_process_lives() -> None:
    assert lives(this_process())


def test_a_process_lives_until_it_is_killed_whether_or_not_its_parent_has_noticed() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    owner = child.stdout.readline().strip()
    assert lives(owner)
    child.kill()
    assert wait_until(lambda: not lives(owner), 5)  # it is a zombie still
    child.communicate()
    assert not lives(owner)


def _with(part: int, value: str) -> str:
    parts = this_process().split("/")
    parts[part] = value
    return "/".join(parts)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (_with(0, "another-boot"), False),
        (_with(3, "1"), False),  # the number was given again
        (_with(1, "pid:[1]"), True),  # cannot be looked at from here
        ("written by somebody else", True),
    ],
    ids=["before the machine was started", "the number again", "another namespace", "not of ours"],
)
def test_what_is_no_process_of_here(owner: str, expected: bool) -> None:
    assert lives(owner) is expected


def test_its_number_is_in_it() -> None:
    assert str(os.getpid()) in this_process().split("/")
