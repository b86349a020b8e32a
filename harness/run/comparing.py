"""Comparing two run directories."""

from __future__ import annotations

from pathlib import Path

from harness.core.compare import Comparison, Threshold, compare
from harness.core.facts import facts_of
from harness.store import read_record

__all__ = ["compare_runs"]


def compare_runs(old: Path, new: Path, max_slower: str, relative: bool = False) -> Comparison:
    """Compare two run directories from their files alone; raises UsageError when one is none."""
    threshold = Threshold.parse(max_slower)
    return compare(facts_of(read_record(old)), facts_of(read_record(new)), threshold, relative)
