"""Comparing two run directories."""

from __future__ import annotations

from pathlib import Path

from harness.core.compare import Comparison, Threshold, compare
from harness.core.facts import Facts, facts_of
from harness.errors import UsageError
from harness.stored_record import read_record

__all__ = ["compare_runs", "facts_at"]


def facts_at(path: Path) -> Facts:
    """The facts of a run directory, without those of the run it was compared with itself.

    Raises UsageError when it is none, or is damaged.
    """
    try:
        return facts_of(read_record(path, with_baseline=False))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} cannot be read: {type(error).__name__}.",
            "Give another run directory; this one is damaged.",
        ) from error


def compare_runs(old: Path, new: Path, max_slower: str, relative: bool = False) -> Comparison:
    """Compare two run directories from their files alone; raises as `facts_at` does."""
    threshold = Threshold.parse(max_slower)
    return compare(facts_at(old), facts_at(new), threshold, relative)
