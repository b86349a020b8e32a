"""Which locustfile a run drives."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.run.locust_process import locustfile_of


@pytest.mark.parametrize(
    ("given", "variable", "planned", "there", "found"),
    [
        ("a.py", "b.py", "c.py", True, "a.py"),
        (None, "b.py", "c.py", True, "b.py"),
        (None, None, "c.py", True, "c.py"),
        (None, None, None, True, "locustfile.py"),
        (None, None, None, False, None),
    ],
)
def test_the_nearest_naming_wins(
    given: str | None,
    variable: str | None,
    planned: str | None,
    there: bool,
    found: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOCUST_LOCUSTFILE", raising=False)
    if variable:
        monkeypatch.setenv("LOCUST_LOCUSTFILE", variable)
    if there:
        (tmp_path / "locustfile.py").touch()
    assert locustfile_of(given, planned) == found
