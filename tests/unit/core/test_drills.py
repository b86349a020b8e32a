"""Drills: how a plan asks for one, and the refusal of what is not known."""

from __future__ import annotations

import pytest

from harness.core.drills import (
    DRILLS,
    GRADES,
    Drill,
    KnownDrill,
    count,
    duration,
    explain_drills,
    parse,
    worst_grade,
)
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "drill"),
    [
        ("kill-migrator", Drill("kill-migrator")),
        ("kill-migrator@p50", Drill("kill-migrator", "p50")),
        ("kill-migrator@each", Drill("kill-migrator", "each")),
        ("kill-migrator@statement=3", Drill("kill-migrator", "statement", "3")),
        (" kill-migrator @ during = 12 ", Drill("kill-migrator", "during", "12")),
    ],
)
def test_a_drill_is_read_from_its_name_place_and_value(text: str, drill: Drill) -> None:
    assert parse(text) == drill


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kill-migrater", "Do you mean kill-migrator?"),
        ("", "there is no such drill"),
        ("@each", "there is no such drill"),
        ("kill-migrator@nowhere", "it cannot strike at 'nowhere'"),
        ("kill-migrator@", "it cannot strike at ''"),
        ("kill-migrator=3", "it takes no value"),
        ("kill-migrator@each=3", "it takes no value"),
        ("kill-migrator@statement", "its value is missing"),
        ("kill-migrator@statement=", "its value is ''"),
        ("kill-migrator@statement=0", "its value is '0'"),
        ("kill-migrator@statement=two", "its value is 'two'"),
        ("kill-migrator@statement=-1", "its value is '-1'"),
        ("kill-migrator@statement=³", "its value is '³'"),
    ],
)
def test_what_is_wrong_is_refused_naming_what_is_known(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert said in str(refused.value)
    assert "kill-migrator" in refused.value.remedy


def test_a_value_may_be_left_out_where_there_is_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownDrill("pause", "It pauses.", "fault", {"": duration("2s"), "migrate": duration("2s")})
    monkeypatch.setattr("harness.core.drills.DRILLS", {**DRILLS, "pause": known})
    assert parse("pause").seconds == 2.0
    assert parse("pause@migrate=500ms") == Drill("pause", "migrate", "500ms")
    assert known.spellings() == ("pause[=2s]", "pause@migrate[=2s]")
    for wrong in ("pause=0s", "pause=fast", "pause=11min", "pause="):
        with pytest.raises(UsageError, match="its value is"):
            parse(wrong)


def test_a_count_has_a_least() -> None:
    assert count(2).fits("2")
    assert not count(2).fits("1")


@pytest.mark.parametrize("text", ["kill-migrator", "kill-migrator@each", "kill-migrator@during=4"])
def test_a_drill_is_written_as_it_is_read(text: str) -> None:
    assert parse(text).text == text


@pytest.mark.parametrize("name", DRILLS)
def test_every_drill_is_explained_with_all_its_spellings(name: str) -> None:
    for spelling in DRILLS[name].spellings():
        assert f"`{spelling}`" in explain_drills()


def test_the_grades_are_explained() -> None:
    assert all(f"| {grade} | {words} |" in explain_drills() for grade, words in GRADES.items())


def test_the_worst_grade_is_the_last_in_the_alphabet() -> None:
    assert worst_grade(["A", "C", "B"]) == "C"
    assert worst_grade([]) is None
