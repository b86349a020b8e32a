"""A distribution as HdrHistogram's `outputPercentileDistribution` prints it, in milliseconds: `.hgrm`.

Plotters of such files draw several in one chart: https://hdrhistogram.github.io/HdrHistogram/plotFiles.html.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.distribution import Distribution

__all__ = ["render"]


def render(found: Distribution) -> str:
    """The whole file. Every microsecond is a bucket of its own, which its last line says in those words."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Distribution) -> Iterator[str]:
    yield f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}"
    yield ""
    for step in found.steps:
        line = f"{step.micros / 1000:12.3f} {step.percentile:2.12f} {step.count:10d}"
        yield line if step.percentile == 1 else f"{line} {1 / (1 - step.percentile):14.2f}"
    mean, deviation = found.mean / 1000, found.deviation / 1000
    yield f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]"
    yield f"#[Max     = {found.highest / 1000:12.3f}, Total count    = {found.count:12d}]"
    yield f"#[Buckets = {1:12d}, SubBuckets     = {found.highest + 1:12d}]"
