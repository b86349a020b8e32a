"""What the clients of a run could not see, or refused to count twice, in sentences for the verdict's limits.

Each sentence stands once, with the names of the user classes, and only for what they really did. The workers
count that as `Use`s (`harness/load/recorder.py`, `note`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.arrivals import CLOSED
from harness.core.client import inside
from harness.core.counted import counted
from harness.core.events import Event, Kind
from harness.core.facts import Facts
from harness.core.generator import users
from harness.core.metrics import RATIO_SAMPLES

__all__ = ["BY_HAND", "FAST_HTTP", "HTTP", "Use", "Uses", "limits_of_clients", "uses_of"]

HTTP, FAST_HTTP, BY_HAND = "HttpUser", "FastHttpUser", "by hand"
"""Clients: Locust's two, and requests that the locustfile reports itself."""

PHASES_JUDGED = ("migrate", "recover", "deploy", "deploy_recover", "rollback", "rollback_recover")
"""Those that gates compare with the baseline."""

RATE_LIMITED = "HTTP 429"
"""How the cause of a request that was refused by rate limiting begins."""

MANY_ENDPOINTS = 200
"""Names from which on requests have their ids in them, and hardly two of them the same."""

DESCRIPTORS = 900
"""Users of one process from which on its sockets reach descriptor 1024."""


class Use:
    """What is counted."""

    REQUESTS = "requests"
    NO_DEADLINE = "no_deadline"  # sent without a timeout
    REDIRECTS = "redirects"  # followed
    STREAMED = "streamed"  # whose body was read after the request
    UNTIMED = "untimed"  # reported ok without a usable response time, and in no figure
    AFTER_ERROR = "after_error"  # failed as the connection had ended with the error before; not counted again
    REOPENED = "reopened"  # kept connections that had to be opened anew


@dataclass(frozen=True)
class Uses:
    """How often each (user class, client, use) was seen, over all workers; the class is "" if unknown."""

    counts: Counter[tuple[str, str, str]]

    def users(self, use: str, *clients: str) -> tuple[str, ...]:
        """The user classes of a use, of these clients or all, by name."""
        found = {who for who, client, what in self.counts if what == use and client in (clients or (client,))}
        return tuple(sorted(found))

    def total(self, use: str, *clients: str) -> int:
        """How often a use was seen with these clients, or with all."""
        return sum(
            count
            for (_, client, what), count in self.counts.items()
            if what == use and client in (clients or (client,))
        )


def uses_of(events: Sequence[Event]) -> Uses:
    """The uses that the workers told of when they delivered the last of their record."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        if event.kind == Kind.WORKER_FINAL:
            for user, client, use, count in event.data.get("uses", ()):
                counts[str(user), str(client), str(use)] += int(count)
    return Uses(counts)


def limits_of_clients(facts: Facts) -> Iterator[str]:
    """Everything the clients hide, and what was counted apart."""
    uses = uses_of(facts.record.events)
    yield from _few(facts)
    yield from _pace(facts, uses)
    yield from _http(uses)
    yield from _fast_http(facts, uses)
    yield from _by_hand(uses)
    yield from _counted_apart(facts, uses)
    endpoints = len(facts.record.samples.endpoints)
    if endpoints > MANY_ENDPOINTS:
        yield (
            f"The requests have {endpoints:,} names, so that few are of the same endpoint; "
            "stalls and errors of an endpoint are then not seen as such. Give them names: name='/items/{id}'."
        )


def _few(facts: Facts) -> Iterator[str]:
    """How much more load it takes, where there was too little to judge."""
    windows = [facts.timeline.window(name) for name in ("baseline", *PHASES_JUDGED)]
    counts = [(len(inside(facts.record.samples, window)), window.name) for window in windows if window]
    count, phase = min(counts, default=(0, ""))
    if not 0 < count < RATIO_SAMPLES:
        return
    more, rate, had = RATIO_SAMPLES / count, facts.record.plan.target_rate, users(facts.record.health)
    remedy = "more users, a shorter wait between two tasks"
    if rate:
        remedy = f"--target-rate {math.ceil(rate * more)}"
    elif had and facts.record.plan.shape is None:
        remedy = f"--users {math.ceil(had * more)}, a shorter wait between two tasks"
    yield (
        f"{_requests(count)} in {phase} {'is' if count == 1 else 'are'} too few to judge, which takes"
        f" {RATIO_SAMPLES}: give it {remedy} or longer phases."
    )


def _pace(facts: Facts, uses: Uses) -> Iterator[str]:
    if not facts.record.plan.paced:
        yield "A target rate is not applicable: the locustfile's users set their own pace."
    closed = uses.users(Use.REQUESTS, HTTP, FAST_HTTP, BY_HAND)
    all_of_them = facts.record.plan.arrivals == CLOSED and (facts.record.plan.paced or not closed)
    if closed or all_of_them:
        who = "the users" if all_of_them else _who(closed)
        yield (
            f"Latency of {who} counts from the send, and a user that waits for an answer asks for"
            " nothing else: what would have been asked meanwhile is in no percentile (coordinated omission)."
            " The stall gate sees the wait itself."
        )


def _http(uses: Uses) -> Iterator[str]:
    if count := uses.total(Use.NO_DEADLINE, HTTP):
        yield (
            f"{_who(uses.users(Use.NO_DEADLINE, HTTP))} (HttpUser) sent {_requests(count)} without a deadline"
            " (timeout=): one that hangs is only known as unfinished when the load stops."
        )
    if count := uses.total(Use.REDIRECTS):
        yield (
            f"{_who(uses.users(Use.REDIRECTS))} followed {count:,} redirects: their time is in the latency,"
            " and where they led no guard has looked."
        )
    if count := uses.total(Use.STREAMED):
        yield (
            f"{_who(uses.users(Use.STREAMED))} read the body of {count:,} answers after the request"
            " (stream=True): the latency ends with the headers, and a stall within the body is not seen."
        )


def _fast_http(facts: Facts, uses: Uses) -> Iterator[str]:
    if not (users := uses.users(Use.REQUESTS, FAST_HTTP)):
        return
    yield (
        f"{_who(users)} (FastHttpUser) sends GET, HEAD, OPTIONS, PUT and DELETE again, up to eleven times,"
        " when a connection drops: a short outage is no error then. Its time-outs are for each read and"
        " write, not for the request, and it follows redirects unseen."
    )
    if max((point.users for point in facts.record.health), default=0) >= DESCRIPTORS:
        yield (
            f"{_who(users)} (FastHttpUser) opens a connection for every request on descriptors above 1023,"
            " and one process had so many users: give it more workers (--processes)."
        )


def _by_hand(uses: Uses) -> Iterator[str]:
    if count := uses.total(Use.REQUESTS, BY_HAND):
        yield (
            f"{_who(uses.users(Use.REQUESTS, BY_HAND))} reported {_requests(count)} by events.request.fire:"
            " their times and outcomes are what the locustfile says, and one that hangs is not known until it"
            " ends."
        )
    if count := uses.total(Use.UNTIMED):
        yield (
            f"{_who(uses.users(Use.UNTIMED))} reported {_requests(count)} as ok without a response time:"
            " they are in no figure."
        )


def _counted_apart(facts: Facts, uses: Uses) -> Iterator[str]:
    samples = facts.record.samples
    limited = [n for n, cause in enumerate(samples.causes) if cause.startswith(RATE_LIMITED)]
    if count := int(np.count_nonzero(np.isin(samples.cause, limited))):
        remedy = "lower --target-rate" if facts.record.plan.target_rate else "have fewer --users"
        yield (
            f"{_requests(count)} {'was' if count == 1 else 'were'} refused by rate limiting (HTTP 429), which"
            f" {'counts as an error' if count == 1 else 'count as errors'}: raise the service's limit, or"
            f" {remedy}."
        )
    if count := uses.total(Use.AFTER_ERROR):
        yield (
            f"{_requests(count)} of {_who(uses.users(Use.AFTER_ERROR))} failed because the service had closed"
            " the connection after an error answer (5xx): each is counted once, as that error."
        )


def _who(users: Sequence[str]) -> str:
    named = [user for user in users if user]
    if len(named) < len(users):
        named.append("the locustfile")
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def _requests(count: int) -> str:
    return counted(count, "request")
