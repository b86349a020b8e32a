"""What the process's environment says, and what is added to it."""

from __future__ import annotations

import pytest

from harness import environ
from harness.environ import child_environment, provide, variable


@pytest.mark.parametrize(("set_to", "found"), [("", "ours"), ("theirs", "theirs")])
def test_what_is_provided_gives_way_to_what_the_person_has_set(
    set_to: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environ, "_provided", set())
    monkeypatch.setenv("MUL_OF_A_TEST", set_to)
    provide("MUL_OF_A_TEST", "ours")
    assert variable("MUL_OF_A_TEST") == found


@pytest.mark.parametrize(("set_to", "inherited"), [("", None), ("theirs", "theirs")])
def test_a_child_inherits_what_the_person_has_set_and_not_what_is_provided(
    set_to: str, inherited: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environ, "_provided", set())
    monkeypatch.setenv("MUL_OF_A_TEST", set_to)
    provide("MUL_OF_A_TEST", "ours")
    assert child_environment().get("MUL_OF_A_TEST") == inherited
    assert child_environment({"MUL_OF_A_TEST": "ours"})["MUL_OF_A_TEST"] == "ours"
