"""The gate over sessions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.record import Probe
from tests.fix_gates import result
from tests.fix_record import a_plan, a_record, sessions


@pytest.mark.parametrize("kind", ["old_token", "fresh_login", "first_use"])
def test_continuity_is_red_when_what_had_worked_does_not_any_more(kind: str) -> None:
    seen = result(a_record(probes=sessions(**{kind: "failed"})), "continuity")
    assert (seen.status, seen.observed, seen.samples) == ("fail", 3, 9)
    assert seen.why.startswith("3 of 9; ada: ")
    assert seen.why.endswith(": HTTP 401")


@pytest.mark.parametrize(
    ("probes", "why"),
    [
        (sessions()[:2], "needs 3 accounts that were logged in before the migration, has 0"),
        (sessions()[:8], "needs 3 accounts that were logged in before the migration, has 2"),
        (
            sessions(first_use="failed")[2:],
            "first_use failed, but had not worked before the migration either: ada: it logged in, but what it"
            " got was not taken: HTTP 401",
        ),
        (
            sessions(fresh_login="unclear"),
            "fresh_login says nothing: every one was limited by rate, or not answered in time",
        ),
        (
            sessions(old_token="not_tried", fresh_login="not_tried", first_use="not_tried"),
            "nothing was tried: HTTP 401",
        ),
    ],
)
def test_continuity_does_not_decide_by_too_little(probes: tuple[Probe, ...], why: str) -> None:
    seen = result(a_record(probes=probes), "continuity")
    assert (seen.status, seen.why) == ("inconclusive", why)


def without_old_tokens(why: str) -> tuple[Probe, ...]:
    """What was tried where no old token could be."""
    probes = sessions(old_token="not_tried")
    return tuple(replace(p, detail=why) if p.probe == "old_token" else p for p in probes)


@pytest.mark.parametrize("why", ["it had ended", "it was renewed since"])
def test_old_tokens_that_nobody_holds_any_more_are_no_failure(why: str) -> None:
    assert result(a_record(probes=without_old_tokens(why)), "continuity").status == "pass"


@pytest.mark.parametrize(
    "why", ["no path is known that the account may read", "it had not worked before either"]
)
def test_old_tokens_that_could_not_be_tried_decide_nothing(why: str) -> None:
    seen = result(a_record(probes=without_old_tokens(why)), "continuity")
    assert (seen.status, seen.observed, seen.why) == (
        "inconclusive",
        None,
        f"no old token was tried: {why}",
    )


def test_one_user_is_enough_when_there_is_but_one() -> None:
    assert result(a_record(a_plan(users=1), probes=sessions()[:5]), "continuity").status == "pass"
