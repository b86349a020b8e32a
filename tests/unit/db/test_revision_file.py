"""What a revision file says of itself, from its text."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import util

from harness.db.revision_file import read_revision, revisions_unrun

PLAIN = '''"""add stars

with more to say
"""
import no_such_library
from shop.models import Note

revision: str = "b2"
down_revision: str | None = "a1"
branch_labels = ("stars",)
depends_on = None


def upgrade():
    raise RuntimeError("never run here")
'''


def read(folder: Path, text: str) -> dict[str, object] | None:
    file = folder / "revision.py"
    file.write_text(text)
    module = read_revision(file)
    names = ("revision", "down_revision", "branch_labels", "depends_on", "__doc__")
    return None if module is None else {name: getattr(module, name, "absent") for name in names}


def test_names_and_docstring_are_read_and_nothing_is_run(tmp_path: Path) -> None:
    assert read(tmp_path, PLAIN) == {
        "revision": "b2",
        "down_revision": "a1",
        "branch_labels": ("stars",),
        "depends_on": None,
        "__doc__": "add stars\n\nwith more to say\n",
    }


def test_several_names_at_once_and_a_merge(tmp_path: Path) -> None:
    found = read(tmp_path, "revision, down_revision = 'm1', ('a1', 'b1')\n")

    assert found is not None
    assert (found["revision"], found["down_revision"], found["depends_on"]) == ("m1", ("a1", "b1"), "absent")


@pytest.mark.parametrize(
    "text",
    [
        "revision = 'a' + '1'\ndown_revision = None\n",
        "revision = make()\ndown_revision = None\n",
        "from house import NAME as revision\ndown_revision = None\n",
        "revision = 'a1'\nif True:\n    down_revision = None\n",
        "revision = 'a1'\ndown_revision = None\nrevision = 'a2'\n",
        "revision = down_revision = None\nfor revision in 'ab': pass\n",
        "revision = 'a1'\n",
        "",
    ],
)
def test_what_only_running_it_tells(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) is None


def test_a_syntax_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError) as caught:
        read(tmp_path, "revision = 'a1\n")

    assert caught.value.filename == str(tmp_path / "revision.py")


def test_alembic_reads_by_it_only_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "b2.py").write_text(PLAIN)
    (tmp_path / "c3.py").write_text("revision = str(3)\ndown_revision = None\n")
    with revisions_unrun():
        assert util.load_python_file(tmp_path, "b2.py").revision == "b2"
        assert util.load_python_file(tmp_path, "c3.py").revision == "3"

    with pytest.raises(ModuleNotFoundError):
        util.load_python_file(tmp_path, "b2.py")
