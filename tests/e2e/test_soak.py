"""Many runs of the main path: noise alone stays quiet, and what is unsafe is always found.

    pytest -m slow -s -n0 tests/e2e/test_soak.py

takes about an hour and a quarter; `SOAK=5` in the environment makes it five runs of each kind.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.fix_run import Run, Runs

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("SOAK", "30"))


def _repeat(runs: Runs, times: int, *arguments: str) -> list[Run]:
    """Run it so many times, saying how each ended and which gates were not green."""
    done = []
    for number in range(1, times + 1):
        run = runs(*arguments)
        unquiet = [g["name"] for g in run.verdict["gates"] if g["status"] in ("fail", "inconclusive")]
        words = [f"{' '.join(arguments):<24} {number:>3}:", run.verdict["status"], *unquiet]
        print(*words, flush=True)  # noqa: T201
        done.append(run)
    return done


def _statuses(done: Sequence[Run]) -> Counter[str]:
    return Counter(str(run.verdict["status"]) for run in done)


@pytest.mark.parametrize("arguments", [("--placebo",), ("--upgrade", "safe@head")], ids=["placebo", "safe"])
def test_noise_alone_is_never_red(runs: Runs, arguments: tuple[str, ...]) -> None:
    statuses = _statuses(_repeat(runs, RUNS, *arguments))
    assert statuses["fail"] == 0
    assert statuses["inconclusive"] <= 1


def test_an_unsafe_migration_is_always_found(runs: Runs) -> None:
    done = _repeat(runs, min(RUNS, 10), "--upgrade", "unsafe@head")
    assert {run.process.returncode for run in done} == {1}
    for run in done:
        assert {run.gate("stall")["status"], run.gate("latency")["status"]} == {"fail"}
        assert "unsafe1" in run.output
