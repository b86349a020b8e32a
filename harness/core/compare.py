"""Comparison of two runs: per phase and endpoint, what changed, and whether chance alone may have done it.

A difference is *clear* when every one of 1,000 resamples of half-second blocks (`core/resampling.py`) has its
sign. That is stricter than a 95 % interval because a comparison looks at a hundred numbers at once, of which
some leave their interval by chance.

`relative` takes out what changed before anything was migrated, for two runs seldom find a machine equally
busy: each latency of the old run is multiplied by how much slower the new run's baseline is, the chance of
that included. The baseline's own latencies then decide nothing.

A longest time (stall, longest wait) and a migration's duration are one observation of each run: no resampling
says how far chance moves it. They are shown and never decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from harness.core.client import inside
from harness.core.conditions import Condition, conditions, doubts
from harness.core.details import JUDGED_PHASES
from harness.core.durations import parse_duration
from harness.core.facts import Facts
from harness.core.metrics import METRICS, Measured, Selector, measure
from harness.core.resampling import (
    BLOCK_S,
    blocks_in,
    resampled_error_ratio,
    resampled_quantiles,
    resampled_throughput,
)
from harness.core.samples import Floats
from harness.core.timeline import Window
from harness.core.verdict import ExitCode, rounded
from harness.errors import UsageError

__all__ = ["Comparison", "Row", "Threshold", "compare"]

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
RESAMPLED = (*QUANTILES, "error_ratio", "throughput")
DECISIVE = ("p95", "error_ratio", "throughput")
"""What must be known of all requests together, in every phase, for a comparison to be decided."""

ERROR_EXCESS = 0.01
"""How much more of all requests may fail before it is a regression, as in the gate `errors`."""

LEAST_BLOCKS = 10
"""With fewer observations resampling only repeats them."""

WORDS = {"error_ratio": ("more errors", "fewer errors"), "": ("slower", "faster")}
"""What a clear difference is called, for the worse and for the better."""

UNJUDGED = "one value each"
FEW = "too few samples"
UNCLEAR = "no clear difference"


@dataclass(frozen=True)
class Threshold:
    """How much slower is a regression: more than `ratio` of the old value, and `floor_s` seconds, on top."""

    text: str
    ratio: float
    floor_s: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """`10%` or `10% + 5ms`; raises UsageError for anything else."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%(?:\s*\+\s*(\S.*?))?\s*", text)
        if found is None:
            raise UsageError(f"--max-slower {text!r} is no share.", "Write it as 10% or as '10% + 5ms'.")
        floor_s = parse_duration(found[2], "--max-slower") if found[2] else 0.0
        return cls(" ".join(text.split()), float(found[1]) / 100, floor_s)


@dataclass(frozen=True)
class Row:
    """One metric of one phase in both runs; `endpoint` None is all requests together.

    `change` is relative to the old value, for `error_ratio` the difference; `low` and `high` bound it with
    95 % confidence. `result`: slower | faster | more errors | fewer errors | no clear difference |
    too few samples | one value each. `regression`: clear of chance, and beyond the threshold.
    """

    phase: str
    endpoint: str | None
    metric: str
    unit: str
    old: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    result: str
    regression: bool = False
    why: str = ""

    @property
    def clear(self) -> bool:
        """Whether it differs by more than chance."""
        return self.result not in (UNJUDGED, FEW, UNCLEAR)


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side. `doubts` say why one of them is no evidence; then nothing is decided."""

    old: str
    new: str
    threshold: Threshold
    conditions: tuple[Condition, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    relative: bool = False

    @property
    def regressions(self) -> tuple[Row, ...]:
        """The rows that are worse than the threshold allows."""
        return tuple(row for row in self.rows if row.regression)

    @property
    def undecided(self) -> tuple[Row, ...]:
        """Rows of all requests together that a decision needs, and that have too few samples."""
        return tuple(
            row for row in self.rows if row.endpoint is None and row.metric in DECISIVE and row.result == FEW
        )

    @property
    def shifted(self) -> tuple[Row, ...]:
        """What changed clearly for all requests together before anything was migrated."""
        return tuple(
            row for row in self.rows if row.phase == "baseline" and row.endpoint is None and row.clear
        )

    @property
    def exit_code(self) -> ExitCode:
        """1 for a regression, 4 where the runs are too little evidence to say, else 0."""
        if self.doubts:
            return ExitCode.INCONCLUSIVE
        if self.regressions:
            return ExitCode.FAIL
        return ExitCode.INCONCLUSIVE if self.undecided or not self.rows else ExitCode.PASS

    def as_json(self) -> dict[str, Any]:
        """What `harness compare --json` prints; unknown numbers are null."""
        return {
            "schema": 1,
            "old": self.old,
            "new": self.new,
            "max_slower": self.threshold.text,
            "relative": self.relative,
            "exit_code": int(self.exit_code),
            "conditions": [asdict(condition) for condition in self.conditions],
            "doubts": list(self.doubts),
            "notes": list(self.notes),
            "rows": [
                {
                    key: rounded(value) if isinstance(value, float) else value
                    for key, value in asdict(row).items()
                }
                for row in self.rows
            ],
        }


def compare(old: Facts, new: Facts, threshold: Threshold, relative: bool = False) -> Comparison:
    """Compare the runs; the resampling is seeded, so the same two always compare alike."""
    return Comparison(
        old=old.run_id or "the old run",
        new=new.run_id or "the new run",
        threshold=threshold,
        conditions=conditions(old.record, new.record),
        doubts=tuple(
            f"The {which} run is no evidence: {why}."
            for which, facts in (("old", old), ("new", new))
            for why in doubts(facts)
        ),
        notes=tuple(_notes(old, new)),
        rows=tuple(_rows(old, new, threshold, relative)),
        relative=relative,
    )


def _notes(old: Facts, new: Facts) -> Iterator[str]:
    """What is in one of the runs only, and so is not compared."""
    for which, one, other in (("old", old, new), ("new", new, old)):
        names = sorted(set(one.record.samples.endpoints) - set(other.record.samples.endpoints))
        if names:
            yield f"Only the {which} run asked for {', '.join(names)}."
        phases = [p for p in JUDGED_PHASES if one.timeline.window(p) and not other.timeline.window(p)]
        if phases:
            yield f"Only the {which} run has the phase {', '.join(phases)}."


def _rows(old: Facts, new: Facts, threshold: Threshold, relative: bool) -> Iterator[Row]:
    shared = set(old.record.samples.endpoints) & set(new.record.samples.endpoints)
    for phase in JUDGED_PHASES:
        windows = old.timeline.window(phase), new.timeline.window(phase)
        if windows[0] is None or windows[1] is None:
            continue
        for endpoint in (None, *sorted(shared)):
            yield from _of_clients(old, new, phase, endpoint, threshold, relative)
        if phase in ("migrate", "rollback"):
            for metric in ("migration_duration", "lock_wait_max"):
                yield from _unjudged(old, new, Selector(metric, phase))


def _of_clients(
    old: Facts, new: Facts, phase: str, endpoint: str | None, threshold: Threshold, relative: bool
) -> Iterator[Row]:
    runs = _Chance(old, phase, endpoint, 0), _Chance(new, phase, endpoint, 1)
    baselines = _Chance(old, "baseline", endpoint, 2), _Chance(new, "baseline", endpoint, 3)
    for metric in RESAMPLED:
        scaled = relative and metric in QUANTILES and phase != "baseline"
        row = _judged(Selector(metric, phase, endpoint), runs, baselines if scaled else None, threshold)
        taken_out = relative and metric in QUANTILES and phase == "baseline"
        yield replace(row, regression=row.regression and not taken_out)
    yield from _unjudged(old, new, Selector("stall", phase, endpoint))


class _Chance:
    """What resampling makes of one run's numbers in a phase; quantiles are drawn together.

    `number` keeps the draws of the two runs apart: drawn alike, their blocks would rise and fall together.
    """

    def __init__(self, facts: Facts, phase: str, endpoint: str | None, number: int) -> None:
        self.facts = facts
        self._random = np.random.default_rng((facts.record.plan.seed, number))
        self._window = facts.timeline.window(phase) or Window(phase, 0.0, 0.0)
        self._samples = inside(facts.record.samples, self._window, endpoint)
        self._quantiles: Floats | None = None

    @property
    def blocks(self) -> int:
        return blocks_in(self._window)

    def of(self, metric: str) -> Floats:
        """The metric in each resample; it must have been measured."""
        if metric == "error_ratio":
            return resampled_error_ratio(self._samples, self._random)
        if metric == "throughput":
            return resampled_throughput(self._samples, self._window, self._random)
        if self._quantiles is None:
            self._quantiles = resampled_quantiles(self._samples, tuple(QUANTILES.values()), self._random)
        drawn: Floats = self._quantiles[:, list(QUANTILES).index(metric)]
        return drawn


_Pair = tuple[_Chance, _Chance]


def _judged(selector: Selector, runs: _Pair, baselines: _Pair | None, threshold: Threshold) -> Row:
    row = _row(selector, measure(runs[0].facts, selector), measure(runs[1].facts, selector), FEW)
    if row.old is None or row.new is None:
        return row
    if min(run.blocks for run in runs) < LEAST_BLOCKS:
        return replace(row, why=f"needs {LEAST_BLOCKS * BLOCK_S:g} s of the phase")
    metric = selector.metric
    before, now = (run.of(metric) for run in runs)
    if baselines is not None:
        bases = [measure(run.facts, replace(selector, phase="baseline")).value for run in baselines]
        if not bases[0] or not bases[1]:
            return replace(row, why="too few samples in the baseline")
        scaled = row.old * bases[1] / bases[0]
        row = replace(row, old=scaled, change=row.new / scaled - 1 if scaled else None)
        before = before * baselines[1].of(metric) / baselines[0].of(metric)
    low, high = _interval(_change(metric, before, now))
    judged = replace(row, low=low, high=high, result=UNCLEAR)
    if _always_worse(metric, before, now):
        beyond = _always_worse(metric, _allowed(metric, before, threshold), now)
        return replace(judged, result=WORDS.get(metric, WORDS[""])[0], regression=beyond)
    if _always_worse(metric, now, before):
        return replace(judged, result=WORDS.get(metric, WORDS[""])[1])
    return judged


def _interval(changes: Floats) -> tuple[float | None, float | None]:
    if not np.all(np.isfinite(changes)):
        return None, None
    low, high = np.quantile(changes, (0.025, 0.975))
    return float(low), float(high)


def _always_worse(metric: str, before: Floats, now: Floats) -> bool:
    return bool(np.all(now < before if metric == "throughput" else now > before))


def _allowed(metric: str, before: Floats, threshold: Threshold) -> Floats:
    """The worst that is no regression yet."""
    if metric == "error_ratio":
        return before + ERROR_EXCESS
    if metric == "throughput":
        return before * (1 - threshold.ratio)
    return before * (1 + threshold.ratio) + threshold.floor_s


def _change(metric: str, before: Floats, now: Floats) -> Floats:
    """The difference of error ratios, else the relative change; an old value of 0 makes it infinite."""
    if metric == "error_ratio":
        return now - before
    with np.errstate(divide="ignore", invalid="ignore"):
        change: Floats = np.where(now == before, 0.0, now / before - 1)
    return change


def _unjudged(old: Facts, new: Facts, selector: Selector) -> Iterator[Row]:
    found = measure(old, selector), measure(new, selector)
    if any(measured.value is not None for measured in found):
        yield _row(selector, *found, UNJUDGED)


def _row(selector: Selector, old: Measured, new: Measured, result: str) -> Row:
    metric = selector.metric
    change = None
    if old.value is not None and new.value is not None:
        change = float(_change(metric, np.array(old.value), np.array(new.value)))
    whys = [f"{which}: {found.why}" for which, found in (("old", old), ("new", new)) if found.value is None]
    return Row(
        phase=selector.phase or "",
        endpoint=selector.endpoint,
        metric=metric,
        unit=METRICS[metric].unit,
        old=old.value,
        new=new.value,
        change=change,
        low=None,
        high=None,
        result=result,
        why="; ".join(whys),
    )
