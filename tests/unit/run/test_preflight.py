"""Which command shows where the database is."""

from __future__ import annotations

import pytest

from harness.run.preflight import current_command


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
