"""The metrics that gates are made of: name, meaning, unit, default phase, and how many samples they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.core import client_metrics as clients
from harness.core import ledger_metrics
from harness.core import migration_metrics as migrations
from harness.core.counted import counted
from harness.core.facts import Facts
from harness.core.generator import fitness
from harness.core.measured import Measured
from harness.core.quantiles import quantile_interval, quantile_samples
from harness.core.replica_lag import LAG_SAMPLES, replica_lag_max
from harness.core.timeline import Window
from harness.core.websocket import WebSockets

__all__ = [
    "METRICS",
    "OF_A_MIGRATION",
    "RATIO_SAMPLES",
    "Measured",
    "Metric",
    "Selector",
    "measure",
    "window_of",
]

RATIO_SAMPLES = 300
"""Requests a ratio or a rate needs: with 300 and none failed, the true share is below 1 % (rule of three)."""

OF_A_MIGRATION = ("migration", "observer", "catalog")
"""What metrics need that are of a migration, and not of an endpoint."""

TICK_SAMPLES = 100
"""Ticks of the hub that its p99 needs. They are our own and even, so fewer than of requests will do."""


@dataclass(frozen=True)
class Selector:
    """A metric as a gate asks for it: in which phase, of which endpoint, None is all; and of which run, None
    is this one.
    """

    metric: str
    phase: str | None = None
    endpoint: str | None = None
    run: str | None = None


Compute = Callable[[Facts, Window, str | None], Measured]


@dataclass(frozen=True)
class Metric:
    """`unit` is s, ratio, /s or count; `phase` the default one, None: the whole run, in which case `phase`
    and `name` are no labels of it. `needs` is what the plan must have for it: client, migration, observer,
    catalog, replica, ledger, totals, isolation, websocket or generator.
    """

    name: str
    meaning: str
    unit: str
    phase: str | None
    minimum: int
    needs: str
    compute: Compute

    @property
    def few_is_evidence(self) -> bool:
        """Whether few samples are what it finds, rather than too little to find anything."""
        return self.name in ("throughput", "rate")

    @property
    def sliceable(self) -> bool:
        """Whether it can be asked second by second (`for D`)."""
        return self.needs == "client" and self.name not in ("slice_p95", "tail_p95", "stall")


def measure(facts: Facts, selector: Selector, window: Window | None = None, enough: bool = True) -> Measured:
    """The metric over its phase's window, or over `window`; with `enough` only from its minimum of samples
    on.
    """
    metric = METRICS[selector.metric]
    where = window or window_of(facts, selector)
    if selector.run is not None:
        if facts.baseline is None:
            return Measured(None, None, "the record of the baseline run is not there")
        facts = facts.baseline
        if facts.record.missing:
            return Measured(None, None, f"its record is not whole: {facts.record.missing[0]}")
    if where is None:
        return Measured(None, None, _no_phase(facts, selector.phase or metric.phase))
    if selector.endpoint is not None and selector.endpoint not in facts.record.samples.endpoints:
        known = ", ".join(sorted(facts.record.samples.endpoints)) or "none"
        return Measured(None, 0, f"no request was named {selector.endpoint!r}; there were: {known}")
    found = metric.compute(facts, where, selector.endpoint)
    if enough and found.value is not None and (found.samples or 0) < metric.minimum:
        return replace(found, value=None, why=_too_few(metric.minimum, found.samples or 0), confidence=None)
    return found


def window_of(facts: Facts, selector: Selector) -> Window | None:
    """The window a selector means, None when the run never came to its phase."""
    if selector.run is not None:
        return None if facts.baseline is None else window_of(facts.baseline, replace(selector, run=None))
    phase = selector.phase or METRICS[selector.metric].phase
    return Window("run", 0.0, facts.timeline.end_at) if phase is None else facts.timeline.window(phase)


def _no_phase(facts: Facts, phase: str | None) -> str:
    if phase in ("migrate", "rollback") and facts.in_phase(phase):
        return f"the migration ran no statement while there was load, so there is no phase {phase}"
    return f"the run never came to phase {phase}"


def _too_few(needed: int, found: int) -> str:
    return f"needs {needed} samples, has {found}"


# what else is measured


def _leaks(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    found = facts.isolation
    samples = found.reads_checked + found.probes
    if found.leaks:
        return Measured(float(found.leaks), samples, "; ".join(found.examples))
    if found.probes and found.errors == found.probes:
        return Measured(
            None,
            samples,
            f"{counted(found.probes, 'probe')} of records ended in an error, none in a refusal",
        )
    if not found.refused:
        return Measured(None, samples, "no probe of a record was refused: isolation was not probed")
    return Measured(0.0, samples)


def _forged_tokens(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    found = facts.isolation
    if found.forged_accepted:
        return Measured(float(found.forged_accepted), found.forged_tried, "; ".join(found.accepted))
    if found.forged_errors and not found.forged_tried:
        return Measured(None, 0, f"all {found.forged_errors} that were tried say nothing: {found.why_error}")
    if not found.forged_tried:
        return Measured(None, 0, f"none was tried: {found.why_no_token or 'no account was probed'}")
    if not found.forged_tried_after:
        return Measured(None, found.forged_tried, "none was tried after the migration")
    return Measured(0.0, found.forged_tried)


def _hub_late_p99(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    found = fitness(facts.record.health, facts.judged)
    return Measured(
        found.late_p99_s, found.ticks, "" if found.ticks else "the workers' health was not recorded"
    )


def _ws_delivery_p99(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    found = facts.websocket
    if not found.delivered:
        return Measured(None, 0, _nothing_came(found))
    interval = quantile_interval(np.array(found.delays_s), 0.99)
    return Measured(found.delivery_p99_s, len(found.delays_s), found.why_no_delay, interval)


def _ws_missed(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    found = facts.websocket
    count = (found.delivered or 0) + (found.missed or 0)
    if not count:
        return Measured(None, 0, _nothing_came(found))
    if not found.missed and found.unsettled and not found.settled:
        return Measured(None, count, "whether the last changes came could not be found out")
    return Measured(float(found.missed or 0), count)


def _nothing_came(found: WebSockets) -> str:
    often = max(found.odd, key=lambda what: found.odd[what], default=None)
    return "no message was delivered" + (f" ({found.odd[often]} × {often})" if often else "")


def _client(
    name: str, meaning: str, unit: str, minimum: int, compute: Compute, phase: str = "migrate"
) -> Metric:
    return Metric(name, meaning, unit, phase, minimum, "client", compute)


def _ledger(name: str, meaning: str, compute: Compute) -> Metric:
    return Metric(name, meaning, "count", None, 1, "ledger", compute)


def _quantiles() -> list[Metric]:
    return [
        _client(
            f"p{round(q * 100)}",
            f"{q:.0%} of the requests answered ok were answered within this, from their intended start",
            "s",
            quantile_samples(q),
            partial(clients.latency, q),
        )
        for q in (0.5, 0.9, 0.95, 0.99)
    ]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *_quantiles(),
        _client("max", "longest latency of a request answered ok", "s", 1, partial(clients.latency, 1.0)),
        _client("mean", "mean latency of the requests answered ok", "s", 20, clients.mean),
        _client(
            "service_p95",
            "as p95, but from the send",
            "s",
            quantile_samples(0.95),
            partial(clients.service, 0.95),
        ),
        _client(
            "lag_p99",
            "p99 of the time from the intended start to the send",
            "s",
            quantile_samples(0.99),
            partial(clients.lag, 0.99),
        ),
        _client("slice_p95", "p95 of the phase's worst 5 s", "s", quantile_samples(0.95), clients.slice_p95),
        _client(
            "tail_p95",
            "p95 of the phase's last 5 s",
            "s",
            quantile_samples(0.95),
            clients.tail_p95,
            "recover",
        ),
        _client("error_ratio", "errors among all requests", "ratio", RATIO_SAMPLES, clients.error_ratio),
        _client("errors", "requests that ended in an error", "count", 1, clients.errors),
        _client("throughput", "requests answered ok per second", "/s", RATIO_SAMPLES, clients.throughput),
        _client("rate", "requests sent per second", "/s", RATIO_SAMPLES, clients.rate),
        _client("requests", "requests that were due or under way", "count", 0, clients.requests),
        _client(
            "stall",
            "longest wait for an ok answer, or run of arrivals that got none, of any endpoint",
            "s",
            1,
            clients.stall,
        ),
        _ledger(
            "lost_writes",
            "acknowledged writes that are not there at the end, or not shown",
            ledger_metrics.lost_writes,
        ),
        _ledger(
            "unexpected_writes",
            "records of this run that nobody can have written",
            ledger_metrics.unexpected_writes,
        ),
        _ledger("duplicates", "records that are there more than once", ledger_metrics.duplicates),
        _ledger(
            "stale_reads",
            "reads that showed less than was acknowledged, or shown, before they began",
            ledger_metrics.stale_reads,
        ),
        Metric(
            "stale_cache",
            "answers in the shape from before the migration, about records shown in the new one before",
            "count",
            None,
            1,
            "shapes",
            ledger_metrics.stale_cache,
        ),
        Metric(
            "wrong_totals",
            "reads of an account's amounts that came to another sum than its first",
            "count",
            None,
            1,
            "totals",
            ledger_metrics.wrong_totals,
        ),
        Metric(
            "leaks",
            "times an account saw, or could change, what belongs to another",
            "count",
            None,
            1,
            "isolation",
            _leaks,
        ),
        Metric(
            "forged_tokens",
            "tokens that were forged, had ended or were revoked, and were accepted",
            "count",
            None,
            1,
            "tokens",
            _forged_tokens,
        ),
        Metric(
            "hub_late_p99",
            "p99 of how late the generator's own ticks came",
            "s",
            None,
            TICK_SAMPLES,
            "generator",
            _hub_late_p99,
        ),
        Metric(
            "ws_delivery_p99",
            "p99 of the time from a change's stamp to its message, the clocks' offset taken off",
            "s",
            None,
            quantile_samples(0.99),
            "websocket",
            _ws_delivery_p99,
        ),
        Metric("ws_missed", "messages that never came", "count", None, 1, "websocket", _ws_missed),
        Metric(
            "migration_duration",
            "from its first statement to its last commit",
            "s",
            "migrate",
            0,
            "migration",
            migrations.migration_duration,
        ),
        Metric(
            "rewrites",
            "tables that it wrote anew",
            "count",
            "migrate",
            0,
            "migration",
            migrations.rewrites,
        ),
        Metric(
            "blocked",
            "session-seconds that the service's sessions waited because of the migration",
            "s",
            "migrate",
            0,
            "observer",
            migrations.blocked,
        ),
        Metric(
            "lock_wait_max",
            "longest wait of one of the service's sessions because of the migration",
            "s",
            "migrate",
            0,
            "observer",
            migrations.lock_wait_max,
        ),
        Metric(
            "replica_lag_max",
            "longest time that a streaming replica was behind the primary in replaying its WAL",
            "s",
            "migrate",
            LAG_SAMPLES,
            "replica",
            replica_lag_max,
        ),
    )
}
"""Every metric by its name."""
