"""Limits of open files, by a system that the test makes up."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import Any

import pytest

from harness.errors import SetupError
from harness.load.descriptors import check_descriptors, check_here, needed
from harness.load.messages import RunSettings

SETTINGS = RunSettings("run-1", "run-1", 1, 400, 4.0, 0, 1, 1000)


class Limits:
    """What the process may open, and what it was raised to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = (1_000, 2_000)
        monkeypatch.setattr(resource, "getrlimit", lambda _: self.now)
        monkeypatch.setattr(resource, "setrlimit", self._set)

    def _set(self, _which: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    return Limits(monkeypatch)


@pytest.mark.parametrize(
    ("load", "count"),
    [((30, None, False), 160), ((30, None, True), 190), ((30, 800, True), 960), ((30, 30, False), 160)],
)
def test_every_connection_counts(load: tuple[Any, ...], count: int) -> None:
    assert needed(*load) == count


def test_enough_is_left_as_it_is(limits: Limits) -> None:
    check_descriptors(1_000)
    assert limits.now == (1_000, 2_000)


@pytest.mark.parametrize("hard", [2_000, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_as_far_as_it_may_be(limits: Limits, hard: int) -> None:
    limits.now = (1_000, hard)
    check_descriptors(2_000)
    assert limits.now == (2_000, hard)


def test_what_cannot_be_had_is_refused_with_its_remedy(limits: Limits) -> None:
    with pytest.raises(SetupError, match=r"2,001 open files.* may have 2,000.*ulimit -Hn 2001"):
        check_descriptors(2_001)
    assert limits.now == (1_000, 2_000)


def test_no_limit_is_enough(limits: Limits) -> None:
    limits.now = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    check_descriptors(10**9)


def test_a_worker_checks_its_own_part(limits: Limits) -> None:
    crowd = replace(SETTINGS, arrivals="open", max_in_flight=4_000)
    with pytest.raises(SetupError):
        check_here(crowd, [])
    check_here(replace(crowd, worker_count=4), [])
