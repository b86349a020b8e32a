"""Rates of phases as a person writes them."""

import pytest

from harness.core.arrivals import PhaseRate, phase_rates
from harness.errors import UsageError


def test_a_phase_has_a_rate_and_may_take_its_time() -> None:
    assert phase_rates(["migrate=120", "warmup = 80/s over 8s", "recover=0.5 over 1m"]) == {
        "migrate": PhaseRate(120.0),
        "warmup": PhaseRate(80.0, 8.0),
        "recover": PhaseRate(0.5, 60.0),
    }


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["migrate"], "PHASE=RATE"),
        (["migrate=fast"], "PHASE=RATE"),
        (["migrate=-1"], "PHASE=RATE"),
        (["migrate=0"], "above 0"),
        (["migrate=1e9"], "PHASE=RATE"),
        (["migrate=120 over soon"], "--phase-rate"),
        (["drain=5"], "Known: warmup, baseline"),
        (["lunch=5"], "names no phase"),
        (["migrate=1", "migrate=2"], "twice for migrate"),
    ],
)
def test_what_is_none_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        phase_rates(texts)
