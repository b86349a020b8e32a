"""A Python is started, to see whether a migration in it could be traced."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.db.interpreter import why_untraceable
from harness.errors import UsageError

pytestmark = pytest.mark.integration

PATH = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("option", "why"), [("-B", ""), ("-I", "with -I it ignores PYTHONPATH"), ("-sE", "with -sE it ignores")]
)
def test_a_python_shows_whether_the_tracer_says_hello(option: str, why: str, tmp_path: Path) -> None:
    found = why_untraceable((sys.executable, option, "-m", "alembic"), tmp_path, PATH)
    assert why in found
    assert bool(found) == bool(why)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_alembic_is_no_alembic(tmp_path: Path) -> None:
    (tmp_path / "alembic").mkdir()
    (tmp_path / "alembic" / "__init__.py").touch()
    with pytest.raises(UsageError, match="has no Alembic"):
        why_untraceable((sys.executable, "-m", "alembic"), tmp_path, PATH)
    assert why_untraceable((sys.executable, "deploy.py"), tmp_path, PATH) == ""
