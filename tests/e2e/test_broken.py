"""Services broken on purpose: each turns its own gate red, and no other.

pytest -m e2e -k broken
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from harness.target.faults import FAULTS
from tests.fix_run import BRIEF, UNTIMED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

BROKEN = {
    "drop-writes": "lost_writes",
    "mix-up-accounts": "leaks",
    "accept-any-token": "forged_tokens",
    "skip-events": "ws_missed",
    "serve-stale-reads": "stale_reads",
    "break-transfers": "totals",
    "forget-revisions": "stale_cache",
}
"""By fault (`harness/target/faults.py`): the gate that must find it."""

CACHE = "forget-revisions"
SOUND = "sound cache"
"""A run without a fault, for what a fault of the cache is held against."""

JUDGED = (*BROKEN.values(), "unexpected_writes", "continuity", "migration", "catalog", "deadlocks")
"""Gates that no busy machine turns red."""

AT_ONCE = 3

RATES = {"break-transfers": "100", CACHE: "100", SOUND: "100"}
"""Target rates at which a fault that few requests can meet is met again and again; 60 for all others."""


def service_with(fault: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The flags and the environment of a run whose service is so broken."""
    environment = {} if fault == SOUND else {"MUL_TARGET_FAULT": fault}
    if fault in (CACHE, SOUND):  # and shows each row as it is, so that its shape changes with the table's
        return ("--cache", "auto"), {**environment, "MUL_TARGET_RELEASE": "all"}
    return (), environment


def unquiet(run: Run) -> dict[str, str]:
    """The gates that are not green, and what they are."""
    gates = run.verdict["gates"]
    return {gate["name"]: gate["status"] for gate in gates if gate["status"] in ("fail", "inconclusive")}


def error_share(run: Run) -> float:
    """The share of errors among all requests."""
    phases = [phase for phase in run.verdict["phases"] if phase["requests"]]
    requests = sum(phase["requests"] for phase in phases)
    return float(sum(phase["requests"] * phase["error_ratio"] for phase in phases) / requests)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """A run of each broken service, some at a time: nothing that is judged is a matter of time."""
    with ExitStack() as started:
        done: dict[str, Run] = {}
        wanted = [*BROKEN, SOUND]
        for first in range(0, len(wanted), AT_ONCE):
            some = {}
            for fault in wanted[first : first + AT_ONCE]:
                runs = Runs(tmp_path_factory.mktemp(fault.replace(" ", "-")))
                started.callback(runs.stop)
                flags, environment = service_with(fault)
                load = ("--target-rate", RATES.get(fault, "60"))
                some[fault] = runs.start(*BRIEF, *load, *UNTIMED, *flags, environment=environment)
            for run in some.values():
                run.wait()
            done |= some
        yield done


@pytest.mark.parametrize(("fault", "gate"), BROKEN.items(), ids=BROKEN)
def test_a_broken_service_turns_its_own_gate_red_and_no_other(
    broken: dict[str, Run], fault: str, gate: str
) -> None:
    run = broken[fault]
    assert run.process.returncode == 1, run.output
    assert unquiet(run) == {gate: "fail"}, run.output
    assert error_share(run) < 0.02, run.output  # whose dropped writes are missed
    assert run.gate(gate)["observed"] >= 3, "found again and again, not by luck"


def test_each_reason_not_to_believe_a_token_is_tried(broken: dict[str, Run]) -> None:
    rows = broken["accept-any-token"].verdict["isolation"]["rows"]
    believed = {row["probe"] for row in rows if row["succeeded"]}
    assert believed >= {"forged_signature", "alg_none", "expired_token", "wrong_audience", "wrong_issuer"}


def test_the_old_shape_that_a_cache_keeps_is_told(broken: dict[str, Run]) -> None:
    (found,) = broken[CACHE].verdict["old_shapes"]
    assert found["endpoint"] == "GET /documents/{id}"
    assert set(found["names"]) == {"category_id", "share_id", "size_bytes"}
    assert found["last_s"] > found["first_s"] >= 5.0


def test_a_cache_that_knows_the_revision_shows_no_old_shape(broken: dict[str, Run]) -> None:
    sound = broken[SOUND]
    assert (sound.process.returncode, unquiet(sound)) == (0, {}), sound.output
    assert sound.verdict["environment"]["cache"]["server"]
    shapes = (sound.directory / "shapes.ndjson").read_text()
    assert '"share_id","shown"' in shapes, "else nothing was to be found"
    assert sound.verdict["old_shapes"] == []


def test_every_fault_has_its_gate() -> None:
    assert BROKEN.keys() == FAULTS.keys()
