"""Many runs of the main path: noise alone stays quiet, and what is unsafe is always found.

    pytest -m slow -s -n0 tests/e2e/test_soak.py

takes about three hours; `SOAK=5` in the environment makes it five runs of each kind, and `-k broken` those of
services broken on purpose alone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.e2e.test_broken import BROKEN, JUDGED, service_with, unquiet
from tests.fix_run import Run, Runs

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(7200)]

RUNS = int(os.environ.get("SOAK", "30"))


def _repeat(runs: Runs, times: int, *arguments: str, called: str = "", **environment: str) -> list[Run]:
    """Run it so many times, saying how each ended and which gates were not green."""
    done = []
    for number in range(1, times + 1):
        run = runs(*arguments, environment=environment)
        words = [f"{called or ' '.join(arguments):<24} {number:>3}:", run.verdict["status"], *unquiet(run)]
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


THIRTY_SECONDS = (
    *("--warmup-time", "2s", "--baseline-time", "8s", "--recover-time", "6s", "--probe-time", "2s"),
)
"""A short run with the demo's own rate and number of users."""


@pytest.mark.parametrize(("fault", "gate"), BROKEN.items(), ids=BROKEN)
def test_a_broken_service_is_always_found(runs: Runs, fault: str, gate: str) -> None:
    times = min(RUNS, 20)
    flags, environment = service_with(fault)
    done = _repeat(runs, times, *THIRTY_SECONDS, *flags, called=fault, **environment)
    found = sum(run.gate(gate)["status"] == "fail" for run in done)
    others = Counter(name for run in done for name in unquiet(run) if name != gate and name in JUDGED)
    print(f"{fault}: found in {found} of {times} by {gate}; others red: {dict(others)}")  # noqa: T201
    assert found == times
    assert not others


def test_no_broken_service_no_finding(runs: Runs) -> None:
    times = min(RUNS, 20)
    done = _repeat(runs, times, *THIRTY_SECONDS, called="not broken")
    found = Counter(name for run in done for name in unquiet(run) if name in JUDGED)
    print(f"not broken: {sum(found.values())} findings in {times} runs {dict(found)}")  # noqa: T201
    assert not found
