"""What the clients saw: the requests of phases and endpoints, and the migration beside the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.words import clean, count, rate, seconds, share

__all__ = ["PHASE_COLUMNS", "Figure", "Measure", "endpoints_of", "figures_of", "phases_of"]

Json = Mapping[str, Any]


PHASE_COLUMNS = {
    "Phase": "name",
    "Duration": "duration",
    "Requests": "requests",
    "Target": "target",
    "Rate": "rate",
    "Throughput": "throughput",
    "Errors": "errors",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
    "Max": "max",
    "Service p95": "service_p95",
    "Lag p99": "lag",
    "Stall": "stall",
}
"""What a table of phases tells of each, by the column's title."""


@dataclass(frozen=True)
class Figure:
    """A number before and during the migration."""

    label: str
    before: str
    during: str


@dataclass(frozen=True)
class Measure:
    """The requests of one phase, or of one endpoint in one phase; `p50` … `max` are latencies.

    `target` is what the plan asked for in a phase, `due` what the intended starts of the requests come to.
    """

    name: str
    phase: str
    start: str
    duration: str
    requests: str
    target: str
    due: str
    rate: str
    throughput: str
    errors: str
    p50: str
    p95: str
    p99: str
    max: str
    service_p50: str
    service_p95: str
    service_p99: str
    lag: str
    stall: str


def figures_of(phases: Iterable[Json]) -> Iterator[Figure]:
    """Baseline beside migration, for the four numbers that people ask for."""
    by_name = {phase.get("name"): phase for phase in phases}
    before, during = by_name.get("baseline"), by_name.get("migrate")
    if before is None or during is None:
        return
    for label, key, words in (
        ("p95 latency", "p95", seconds),
        ("Longest stall", "stall_s", seconds),
        ("Errors", "error_ratio", share),
        ("Throughput", "throughput", rate),
    ):
        yield Figure(label, words(before.get(key)), words(during.get(key)))


def phases_of(phases: Iterable[Json]) -> tuple[Measure, ...]:
    """A row for each phase."""
    return tuple(_measure(phase) for phase in phases)


def endpoints_of(endpoints: Iterable[Json]) -> Iterator[Measure]:
    """Rows by endpoint, its phases beneath one another; both in the verdict's order."""
    order: dict[str, list[Json]] = {}
    for row in endpoints:
        order.setdefault(str(row.get("name", "")), []).append(row)
    for rows in order.values():
        yield from (_measure(row) for row in rows)


def _measure(row: Json) -> Measure:
    start, end = row.get("start_at"), row.get("end_at")
    return Measure(
        name=clean(row.get("name", "")),
        phase=clean(row.get("phase") or ""),
        start=seconds(start),
        duration=seconds(None if start is None or end is None else end - start),
        requests=count(row.get("requests")),
        target=rate(row.get("target_rate")),
        due=rate(row.get("due_rate")),
        rate=rate(row.get("rate")),
        throughput=rate(row.get("throughput")),
        errors=share(row.get("error_ratio")),
        p50=seconds(row.get("p50")),
        p95=seconds(row.get("p95")),
        p99=seconds(row.get("p99")),
        max=seconds(row.get("max")),
        service_p50=seconds(row.get("service_p50")),
        service_p95=seconds(row.get("service_p95")),
        service_p99=seconds(row.get("service_p99")),
        lag=seconds(row.get("lag_p99")),
        stall=seconds(row.get("stall_s")),
    )
