"""Which command shows where the database is, and what follows from where it went."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.trace import Context, VersionTable
from harness.core.trace_fold import build
from harness.errors import GuardError
from harness.run.preflight import _check_that_it_goes_to_its_own, current_command


@pytest.mark.parametrize(
    ("upgrade", "current"),
    [
        ("python -P -m alembic -c a.ini upgrade head", "python -P -m alembic -c a.ini current"),
        ("alembic -x database=shop upgrade safe@head", "alembic -x database=shop current"),
        ("/venv/bin/alembic --raiseerr upgrade +1", "/venv/bin/alembic --raiseerr current"),
        ("flask --app shop db upgrade", "flask --app shop db current"),
        ("uv run flask db upgrade head", "uv run flask db current"),
    ],
)
def test_what_upgrades_by_alembic(upgrade: str, current: str) -> None:
    assert current_command(upgrade.split()) == tuple(current.split())


@pytest.mark.parametrize(
    "command", ["python migrate.py", "./deploy.sh upgrade", "make upgrade", "alembic downgrade -1", "sh -c x"]
)
def test_of_others_it_is_not_known(command: str) -> None:
    assert current_command(command.split()) is None


def test_a_further_database_does_not_take_the_place_of_ones_own() -> None:
    archive, shop = (
        Context(number, VersionTable("alembic_version", database=name))
        for number, name in enumerate(("archive", "shop"), 1)
    )
    nothing = build([])
    with pytest.raises(GuardError, match="went to archive alone, never to shop") as refused:
        _check_that_it_goes_to_its_own(replace(nothing, contexts=(archive,)), ["shop", "archive"])
    assert "MUL_DATABASE_URL" in refused.value.remedy
    _check_that_it_goes_to_its_own(replace(nothing, contexts=(archive, shop)), ["shop", "archive"])
    _check_that_it_goes_to_its_own(replace(nothing, contexts=(shop,)), ["shop", "archive"])
