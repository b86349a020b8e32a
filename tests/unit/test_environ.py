"""What the process's environment says, and what is added to it."""

from __future__ import annotations

import pytest

from harness.environ import child_environment, provide, variable


@pytest.mark.parametrize(("set_to", "found"), [("", "ours"), ("theirs", "theirs")])
def test_what_is_provided_gives_way_to_what_the_person_has_set(
    set_to: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUL_OF_A_TEST", set_to)
    provide("MUL_OF_A_TEST", "ours")
    assert variable("MUL_OF_A_TEST") == child_environment()["MUL_OF_A_TEST"] == found
