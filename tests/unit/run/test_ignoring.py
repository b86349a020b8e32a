"""Comments in revision files by which a rule is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.advice import RULES
from harness.errors import UsageError
from harness.run.ignoring import check_ignored, ignored_by

RULE, OTHER = RULES[0].id, RULES[1].id


def revision(folder: Path, name: str, *comments: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text("".join(f"# migrate-under-load: ignore {comment}\n" for comment in comments))
    return file


def test_the_reasons_of_all_files_are_told(tmp_path: Path) -> None:
    files = [revision(tmp_path, "a1", f"{RULE}: ten rows"), revision(tmp_path, "b2", f"{OTHER}: no users")]
    check_ignored(files)
    assert ignored_by(files) == {RULE: "ten rows", OTHER: "no users"}


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        (RULE, rf"b2\.py says to ignore {RULE}, but not why\. Write there: "),
        (f"{RULE}: ", "but not why"),
        ("no-such-rule: ten rows", rf"b2\.py says to ignore 'no-such-rule'.*{RULE}"),
        ("no-such-rule", "there is no such rule"),
    ],
)
def test_what_ignores_nothing_is_refused_in_one_line(tmp_path: Path, comment: str, message: str) -> None:
    files = [revision(tmp_path, "a1"), revision(tmp_path, "b2", comment)]
    with pytest.raises(UsageError, match=message) as refused:
        check_ignored(files)
    assert "\n" not in str(refused.value)
