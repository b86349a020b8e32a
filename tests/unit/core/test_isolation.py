"""Isolation is counted from probes, with checked reads as the positive control."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.isolation import (
    RECORD_PROBES,
    TOKEN_PROBES,
    Row,
    Shown,
    judge_change,
    judge_isolation,
    judge_stream,
    judge_token,
)
from harness.core.record import Probe
from harness.core.secrets import mask


def a_probe(outcome: str, probe: str = "foreign_read", detail: str = "") -> Probe:
    return Probe(1.0, "ada", probe, outcome, detail)


def test_no_probes_are_no_leaks() -> None:
    found = judge_isolation(7, [])
    assert (found.reads_checked, found.probes, found.leaks) == (7, 0, 0)


def test_outcomes_of_foreign_reads_are_counted() -> None:
    found = judge_isolation(0, [a_probe("refused"), a_probe("refused"), a_probe("leaked"), a_probe("error")])
    assert (found.probes, found.refused, found.leaks, found.errors) == (4, 2, 1, 1)


def test_a_wrong_canary_is_a_leak_but_no_probe() -> None:
    found = judge_isolation(1, [a_probe("leaked", "canary", "GET /documents showed bob")])
    assert (found.probes, found.leaks) == (0, 1)
    assert found.examples == ("ada: GET /documents showed bob",)


def test_only_the_first_leaks_are_told() -> None:
    found = judge_isolation(1, [a_probe("leaked")] * 9)
    assert (found.leaks, len(found.examples)) == (9, 5)


def test_what_was_not_tried_is_no_probe() -> None:
    found = judge_isolation(1, [a_probe("not_tried", "foreign_list"), a_probe("refused", "foreign_update")])
    assert (found.probes, found.refused, found.leaks) == (1, 1, 0)


def test_every_kind_of_probe_of_a_record_may_leak() -> None:
    found = judge_isolation(1, [a_probe("leaked", kind) for kind in RECORD_PROBES])
    assert (found.probes, found.leaks, found.forged_accepted) == (6, 6, 0)


def test_an_accepted_token_is_no_leak_but_told() -> None:
    tokens = [
        a_probe("accepted", "alg_none", "it was accepted (HTTP 200)"),
        a_probe("refused", "key_confusion"),
    ]
    found = judge_isolation(1, [*tokens, a_probe("error", "expired_token", "HTTP 503")])
    assert (found.forged_tried, found.forged_accepted, found.forged_errors, found.leaks) == (2, 1, 1, 0)
    assert found.accepted == ("ada: alg none, it was accepted (HTTP 200)",)
    assert found.why_error == "HTTP 503"


@pytest.mark.parametrize("kind", TOKEN_PROBES)
def test_what_was_accepted_is_told_without_being_taken_for_a_secret(kind: str) -> None:
    [told] = judge_isolation(1, [a_probe("accepted", kind, "one sign of it was changed")]).accepted
    assert mask(told) == told == f"ada: {kind.replace('_', ' ')}, one sign of it was changed"


def test_rows_count_each_kind_by_phase_in_the_order_they_were_walked() -> None:
    probes = [
        Probe(30.0, "ada", "foreign_read", "refused"),
        Probe(10.0, "ada", "foreign_read", "refused"),
        Probe(11.0, "ada", "foreign_read", "error", "HTTP 503"),
        Probe(31.0, "ada", "alg_none", "accepted"),
        Probe(31.0, "ada", "wrong_issuer", "not_tried", "no key"),
        Probe(12.0, "ada", "canary", "leaked", "GET /documents showed bob"),
        Probe(12.0, "ada", "old_token", "worked"),
        Probe(12.0, "ada", "owner", "worked"),
    ]
    found = judge_isolation(1, probes, lambda at: "baseline" if at < 20 else "probe")
    assert found.rows == (
        Row("canary", "baseline", 1, 0, 1, 0),
        Row("foreign_read", "baseline", 2, 1, 0, 1),
        Row("foreign_read", "probe", 1, 1, 0, 0),
        Row("alg_none", "probe", 1, 0, 1, 0),
        Row("wrong_issuer", "probe", 0, 0, 0, 0, "no key"),
    )
    assert found.controls == 1


def test_what_was_tried_in_no_phase_is_told_by_its_reason() -> None:
    probes = [
        Probe(10.0, "ada", "expired_token", "not_tried", "none ended yet"),
        Probe(30.0, "ada", "expired_token", "refused"),
        Probe(10.0, "ada", "revoked_token", "not_tried", "no call is declared"),
        Probe(30.0, "ada", "wrong_issuer", "not_tried", "no key"),
        Probe(30.0, "ada", "wrong_audience", "not_tried", "no key"),
    ]
    found = judge_isolation(1, probes, lambda at: "baseline" if at < 20 else "probe")
    assert found.untried == {
        "no key": ["wrong_audience", "wrong_issuer"],
        "no call is declared": ["revoked_token"],
    }


def test_tokens_tried_after_the_migration_began_are_told_apart() -> None:
    probes = [Probe(at, "ada", kind, "refused") for at in (10.0, 30.0) for kind in TOKEN_PROBES]
    assert judge_isolation(1, probes, began_at=20.0).forged_tried_after == len(TOKEN_PROBES)
    assert judge_isolation(1, probes).forged_tried_after == 0


@given(
    st.lists(
        st.builds(a_probe, st.sampled_from(("refused", "error", "not_tried")), st.sampled_from(RECORD_PROBES))
    ),
    st.integers(0, 100),
    st.sampled_from((*RECORD_PROBES, "canary")),
)
def test_a_planted_leak_is_always_found(probes: list[Probe], place: int, kind: str) -> None:
    planted = [*probes]
    planted.insert(place % (len(probes) + 1), a_probe("leaked", kind))
    assert judge_isolation(0, probes).leaks == 0
    assert judge_isolation(0, planted).leaks == 1


THERE = Shown(200, "as it was")


@pytest.mark.parametrize(
    ("status", "before", "after", "outcome"),
    [
        (404, THERE, THERE, "refused"),
        (403, THERE, THERE, "refused"),
        (409, THERE, THERE, "refused"),
        (204, THERE, THERE, "refused"),  # a delete that says yes to everything, and did nothing
        (200, THERE, Shown(200, "another"), "leaked"),
        (500, THERE, Shown(200, "another"), "leaked"),
        (404, THERE, Shown(404), "leaked"),
        (204, THERE, Shown(410), "leaked"),
        (200, Shown(200), Shown(200), "leaked"),  # nothing tells whether it was changed
        (404, Shown(200), Shown(200), "refused"),
        (202, THERE, THERE, "error"),
        (401, THERE, THERE, "error"),  # the stranger's own session had ended
        (429, THERE, THERE, "error"),
        (500, THERE, THERE, "error"),
        (0, THERE, THERE, "error"),
        (404, Shown(404), Shown(404), "error"),
        (404, THERE, Shown(503), "error"),
        (404, THERE, Shown(0), "error"),
    ],
)
def test_what_the_owner_is_shown_tells_what_became_of_a_change(
    status: int, before: Shown, after: Shown, outcome: str
) -> None:
    found, detail = judge_change(status, before, after)
    assert found == outcome
    assert bool(detail) == (outcome != "refused")


@pytest.mark.parametrize(
    ("status", "before", "after", "shown_to_all", "outcome"),
    [
        (401, 200, 200, False, "refused"),
        (403, 200, 200, False, "refused"),
        (400, 200, 200, False, "refused"),
        (302, 200, 200, False, "refused"),
        (200, 200, 200, False, "accepted"),
        (200, 200, 401, False, "error"),
        (401, 401, 200, False, "error"),
        (401, 200, 503, False, "error"),
        (200, 200, 200, True, "error"),
        (429, 200, 200, False, "error"),
        (500, 200, 200, False, "error"),
        (0, 200, 200, False, "error"),
    ],
)
def test_a_refused_token_counts_only_beside_a_valid_one(
    status: int, before: int, after: int, shown_to_all: bool, outcome: str
) -> None:
    found, detail = judge_token(status, before, after, shown_to_all)
    assert found == outcome
    assert bool(detail) == (outcome != "refused")


@pytest.mark.parametrize(
    ("told", "control", "refused", "status", "outcome"),
    [
        (False, True, None, None, "refused"),  # it came about, and nothing came over it
        (False, True, "HTTP 401", 401, "refused"),
        (False, True, "HTTP 503", 503, "error"),
        (False, True, "timed out", None, "error"),
        (False, False, None, None, "error"),
        (True, True, None, None, "accepted"),
        (True, False, None, None, "accepted"),
    ],
)
def test_what_does_not_come_counts_only_where_it_came_to_its_owner(
    told: bool, control: bool, refused: str | None, status: int | None, outcome: str
) -> None:
    found, detail = judge_stream("stream_forged_token", told, control, refused, status)
    assert found == outcome
    assert bool(detail) == (outcome != "refused")
    own = judge_stream("foreign_stream", told, control, refused, status)[0]
    assert own == {"accepted": "leaked"}.get(outcome, outcome)
