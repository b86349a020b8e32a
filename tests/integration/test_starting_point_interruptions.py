"""Whatever an interrupted run had reached, the next one finds its way."""

from __future__ import annotations

from typing import Any

import pytest

from harness.db.template import Recreated
from tests.fix_starting_point import PREPARE, Shop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class _Stopped(Exception):  # noqa: N818 - it is no error
    """The run was killed."""


KILLED = (
    (False, "_settings", "before"),
    (False, "_swap_in", "after"),
    (False, "empty", "after"),
    (False, "_rename_used", "before"),
    (False, "keep", "after"),
    (False, "copy", "after"),
    (True, "_settings", "before"),
    (True, "_drop", "before"),
    (True, "_rename", "before"),
)
"""Whether there is a template already, and the step at which the run is killed."""


@pytest.mark.parametrize(("made", "step", "when"), KILLED)
def test_a_run_stopped_at_any_step_leaves_a_start_for_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, made: bool, step: str, when: str
) -> None:
    shop.sql(f"ALTER DATABASE {shop.name} SET work_mem = '7MB'")
    if made:
        shop.start(prepare=PREPARE, recreate_database=True)
    with monkeypatch.context() as patch:
        _kill_at(patch, step, when)
        with pytest.raises(_Stopped):
            shop.start(prepare=PREPARE, recreate_database=True)
    shop.start(prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]
    assert shop.sql("SHOW work_mem") == [("7MB",)]
    assert shop.databases() == {"", "_mul_template"}


def test_an_interruption_before_the_template_is_made_leaves_the_database_open(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kill_at(monkeypatch, "_rename_used", "before", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        shop.start(prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]


@pytest.mark.parametrize(("step", "when"), [("_rename_used", "after"), ("copy", "before")])
def test_an_interruption_that_leaves_the_template_alone_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    _kill_at(monkeypatch, step, when, KeyboardInterrupt)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        shop.start(prepare=PREPARE, recreate_database=True, said=said)
    by_hand = f'CREATE DATABASE "{shop.name}" TEMPLATE "{shop.name}_mul_template"'
    assert said[-1] == (
        f"{shop.name} is not there now, only its template: the next run copies it, and so does {by_hand}"
    )
    shop.sql(by_hand, "postgres")
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]


def test_an_interruption_with_the_copy_ready_puts_it_in_place(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.start(prepare=PREPARE, recreate_database=True)
    _kill_at(monkeypatch, "_drop", "after", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        shop.start(prepare=PREPARE, recreate_database=True)
    assert shop.sql("SELECT count(*) FROM seeded") == [(3,)]
    assert shop.databases() == {"", "_mul_template"}


def _kill_at(patch: pytest.MonkeyPatch, step: str, when: str, how: type[BaseException] = _Stopped) -> None:
    original = getattr(Recreated, step)

    def killed(self: Recreated, *arguments: Any) -> None:
        if when == "after":
            original(self, *arguments)
        if how is _Stopped:  # whoever is killed clears nothing up
            self._connection.close()
        raise how

    patch.setattr(Recreated, step, killed)
