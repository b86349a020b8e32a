"""The rows of what was tried on records and tokens, in words."""

from __future__ import annotations

from harness.report.isolation import Tried, tried


def a_row(**changes: object) -> dict[str, object]:
    whole = {"probe": "alg_none", "phase": "probe", "tried": 2, "refused": 2, "succeeded": 0, "errors": 0}
    return {**whole, "why_not": "", **changes}


def test_a_row_says_what_was_tried_when_and_what_came_of_it() -> None:
    what = "a token without a signature (alg none)"
    assert list(tried({"rows": [a_row(tried=1200, refused=1199, succeeded=1)]})) == [
        Tried(what, "probe", "1,200", "1,199", "1", "0", "", bad=True)
    ]


def test_a_row_that_was_not_tried_says_why() -> None:
    [row] = tried({"rows": [a_row(tried=0, refused=0, why_not="no key")]})
    assert (row.why, row.bad) == ("no key", False)


def test_a_kind_of_another_version_is_told_by_its_name() -> None:
    [row] = tried({"rows": [a_row(probe="time_travel", phase="")]})
    assert (row.what, row.phase) == ("time_travel", "–")


def test_a_record_without_rows_has_none() -> None:
    assert list(tried({})) == []
