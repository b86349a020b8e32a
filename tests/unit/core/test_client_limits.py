"""What clients hide is said once, by the names of the classes that did it, and only if they did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.core.client_limits import BY_HAND, FAST_HTTP, HTTP, Use
from harness.core.events import Event, Kind
from harness.core.judge import judge
from harness.core.record import Record
from harness.core.samples import Outcome, SampleTable
from tests.fix_record import a_plan, a_record, healthy
from tests.fix_samples import joined, samples, steady

AnUse = tuple[str, str, str, int]


def told_by(*workers: list[AnUse], **changes: Any) -> Record:
    """A run of whose users each worker told this."""
    record = a_record(**changes)
    finals = tuple(
        Event(54.0, Kind.WORKER_FINAL, {"worker": f"w{number}", "uses": [list(use) for use in uses]})
        for number, uses in enumerate(workers, 1)
    )
    return replace(record, events=record.events + finals)


def limits(record: Record, word: str) -> list[str]:
    return [limit for limit in judge(record).limits if word in limit]


def test_our_own_users_hide_nothing() -> None:
    own = told_by([("", "", Use.REOPENED, 3)])
    assert judge(own).limits == judge(told_by([])).limits
    assert judge(own).details["load"]["reopened"] == 3
    assert judge(a_record(events=())).details["load"]["reopened"] is None


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (("Shopper", HTTP, Use.REQUESTS, 7), "Latency of Shopper counts from the send"),
        (("Shopper", FAST_HTTP, Use.REQUESTS, 7), "Shopper (FastHttpUser) sends GET, HEAD"),
        (
            ("Shopper", HTTP, Use.NO_DEADLINE, 1234),
            "(HttpUser) sent 1,234 requests without a deadline",
        ),
        (("Shopper", HTTP, Use.REDIRECTS, 7), "Shopper followed 7 redirects"),
        (("Shopper", FAST_HTTP, Use.STREAMED, 7), "Shopper read the body of 7 answers"),
        (("Shopper", BY_HAND, Use.REQUESTS, 1), "Shopper reported 1 request by events.request.fire"),
        (("", BY_HAND, Use.UNTIMED, 7), "the locustfile reported 7 requests as ok without a response time"),
        (("Shopper", "", Use.AFTER_ERROR, 7), "7 requests of Shopper failed because the service had closed"),
    ],
)
def test_each_use_is_said_once_for_all_workers(use: AnUse, says: str) -> None:
    *what, count = use
    first = (*what, count - 1)
    record = told_by([first], [(*what, 1)])  # type: ignore[list-item]
    assert len(limits(record, says)) == 1
    assert limits(told_by([]), says) == []


def test_classes_are_named_together() -> None:
    record = told_by(
        [("B", HTTP, Use.REQUESTS, 1), ("A", FAST_HTTP, Use.REQUESTS, 1), ("", BY_HAND, "requests", 1)]
    )
    assert len(limits(record, "Latency of A, B and the locustfile counts from the send")) == 1


def test_descriptors_run_out_only_where_there_are_so_many_users() -> None:
    uses: list[AnUse] = [("Shopper", FAST_HTTP, Use.REQUESTS, 7)]
    crowd = tuple(replace(point, users=950) for point in healthy())
    assert len(limits(told_by(uses, health=crowd), "descriptors above 1023")) == 1
    assert limits(told_by(uses), "descriptors above 1023") == []


def test_users_that_set_their_own_pace_have_no_target_rate() -> None:
    assert len(limits(told_by([], plan=a_plan(paced=False)), "A target rate is not applicable")) == 1
    assert limits(told_by([]), "A target rate is not applicable") == []


def test_a_closed_loop_is_said_to_be_one() -> None:
    says = "Latency of the users counts from the send"
    assert len(limits(told_by([], plan=a_plan(arrivals="closed")), says)) == 1
    assert limits(told_by([]), says) == []


def test_what_it_takes_to_have_enough_requests_is_said() -> None:
    few = steady(rate=12.0)
    assert limits(told_by([], table=few), "too few to judge") == [
        "120 requests in migrate are too few to judge, which takes 300:"
        " give it --target-rate 200 or longer phases."
    ]
    own_pace = a_plan(target_rate=None, paced=False)
    assert "give it --users 75, a shorter wait" in limits(told_by([], table=few, plan=own_pace), "too few")[0]
    shaped = replace(own_pace, shape="Steps")
    assert "give it more users, a shorter wait" in limits(told_by([], table=few, plan=shaped), "too few")[0]


@pytest.mark.parametrize("table", [steady(), samples([])], ids=["enough", "none"])
def test_enough_requests_or_none_take_nothing(table: SampleTable) -> None:
    assert limits(told_by([], table=table), "too few to judge") == []


def limited(count: int) -> Any:
    """So many requests of the baseline are refused for coming too often."""
    table = joined(steady(), samples([(8.005 + n, 0.001, Outcome.ERROR) for n in range(count)]))
    causes = ("", "HTTP 429 (slow down)")
    return replace(table, causes=causes, cause=np.where(table.outcome == Outcome.ERROR, 1, 0))


def test_rate_limiting_is_counted_apart_with_its_remedy() -> None:
    found = limits(told_by([], table=limited(12)), "HTTP 429")
    assert found == [
        "12 requests were refused by rate limiting (HTTP 429), which count as errors:"
        " raise the service's limit, or lower --target-rate."
    ]
    own_pace = a_plan(target_rate=None, paced=False)
    assert "1 request was refused" in limits(told_by([], table=limited(1), plan=own_pace), "HTTP 429")[0]
    assert "have fewer --users" in limits(told_by([], table=limited(1), plan=own_pace), "HTTP 429")[0]
    classes = [
        error for error in judge(told_by([], table=limited(12))).details["errors"] if error["count"] == 12
    ]
    assert [(one["name"], one["phase"]) for one in classes] == [("rate limiting", "baseline")]


def test_a_name_for_each_request_is_remarked_on() -> None:
    unnamed = samples([(8 + n / 100, 0.01, Outcome.OK, f"GET /items/{n}") for n in range(300)])
    assert len(limits(told_by([], table=joined(steady(), unnamed)), "have 301 names")) == 1
    assert limits(told_by([]), "names") == []
