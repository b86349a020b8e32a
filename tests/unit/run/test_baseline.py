"""Which run gates may compare with: refused before any load where it is no use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.facts import Facts
from harness.core.plan import Plan
from harness.errors import UsageError
from harness.run.analysis import analyze
from harness.run.baseline import baseline_folder, check_baseline_run
from harness.run.comparing import facts_at
from harness.run.preparation import prepare
from harness.store import RunDirectory
from tests.fix_record import a_plan, on_disk
from tests.fix_samples import steady

GATE = "slower: p95{phase=migrate} < 1.1 * p95{run=baseline,phase=migrate}"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return on_disk(tmp_path / "old")


def against(old: Path, gate: str = GATE, **changes: Any) -> Plan:
    return a_plan(baseline_run=str(old), gates=(gate,), **changes)


def refusal(plan: Plan) -> str:
    with pytest.raises(UsageError) as refused:
        check_baseline_run(plan)
    assert str(refused.value).startswith("--baseline-run ")
    return str(refused.value)


def test_a_run_of_the_same_load_is_accepted_whatever_it_migrated(old: Path) -> None:
    check_baseline_run(against(old, upgrade="other", recover_s=20.0, placebo=True))


def test_a_run_is_read_once_for_the_same_plan_and_again_when_it_changed(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def reading(folder: Path) -> Facts:
        read.append(folder)
        return facts_at(folder)

    monkeypatch.setattr("harness.run.baseline.facts_at", reading)
    for _ in range(2):
        check_baseline_run(against(old))
    assert len(read) == 1
    check_baseline_run(against(old, recover_s=20.0))
    assert len(read) == 2
    _torn(old)
    assert "its record is not whole" in refusal(against(old, recover_s=20.0))


def test_no_run_is_nothing_to_check() -> None:
    check_baseline_run(a_plan())
    assert baseline_folder(a_plan()) is None


def test_a_link_is_followed_before_a_new_run_takes_it_over(old: Path) -> None:
    link = old.parent / "latest"
    assert baseline_folder(a_plan(baseline_run=str(link))) == old.resolve()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"users": 31}, "users 30 there, 31 here"),
        ({"target_rate": None}, "target rate 80/s there, none here"),
        ({"rows": 5}, "documents 200,000 there, 5 here"),
        ({"host": "http://127.0.0.1:8000"}, "service the reference service there, an own service here"),
    ],
)
def test_another_load_is_refused(old: Path, changes: dict[str, Any], said: str) -> None:
    found = refusal(against(old, **changes))
    assert "is of another load" in found
    assert said in found


def test_a_run_that_no_gate_asks_for_is_refused(old: Path) -> None:
    assert "no gate asks for it" in refusal(a_plan(baseline_run=str(old)))


def test_what_the_run_cannot_answer_is_refused_with_the_gate(old: Path) -> None:
    rollback = "p95{phase=rollback} < 1.1 * p95{run=baseline,phase=rollback}"
    found = refusal(against(old, rollback, downgrade="0001"))
    assert rollback in found
    assert "never came to phase rollback" in found
    assert "needs 1000 samples" not in found
    unobserved = "lock_wait_max < 2 * lock_wait_max{run=baseline}"
    assert "lock_wait_max is not known there" in refusal(against(old, unobserved))


def test_too_few_samples_there_are_known_before_the_load(tmp_path: Path) -> None:
    thin = on_disk(tmp_path / "thin", table=steady(rate=10.0))
    assert "needs 200 samples, has 100" in refusal(against(thin))


def _gone(old: Path) -> None:
    shutil.rmtree(old)


def _torn(old: Path) -> None:
    blocks = old / "samples.blocks"
    blocks.write_bytes(blocks.read_bytes()[:-7])


def _cut(old: Path) -> None:
    lines = (old / "events.ndjson").read_text().splitlines(keepends=True)
    (old / "events.ndjson").write_text("".join(line for line in lines if '"run_end"' not in line))


def _no_plan(old: Path) -> None:
    (old / "plan.json").write_text("{")


def _other_events(old: Path) -> None:
    (old / "events.ndjson").write_text(json.dumps({"at": 1.0}) + "\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_gone, "is not a run directory"),
        (_torn, "its record is not whole: samples.blocks"),
        (_cut, "it was not completed"),
        (_no_plan, "cannot be read: JSONDecodeError"),
        (_other_events, "cannot be read: KeyError"),
    ],
)
def test_a_damaged_run_is_refused(old: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(old)
    assert said in refusal(against(old))


def test_the_latest_run_is_kept_before_the_new_one_takes_its_name(old: Path, tmp_path: Path) -> None:
    runs = old.parent
    plan = against(runs / "latest", placebo=True, run_root=str(runs), postgres_bin=str(tmp_path))
    with pytest.raises(UsageError, match="--postgres-bin"):  # it comes after the directory was made
        prepare(plan, say=lambda _: None)
    new = (runs / "latest").resolve()
    assert new != old
    assert (new / "baseline_run" / "events.ndjson").read_bytes() == (old / "events.ndjson").read_bytes()


def test_judging_again_needs_the_new_directory_alone(old: Path, tmp_path: Path) -> None:
    new = on_disk(tmp_path / "new", against(old), steady(latency=0.05))
    RunDirectory(new).keep_baseline_run(old)
    verdict, view = analyze(new)
    first = (new / "verdict.json").read_bytes()
    shutil.rmtree(old.parent)
    analyze(new)
    assert (new / "verdict.json").read_bytes() == first
    assert next(gate for gate in verdict.gates if gate.name == "slower").status == "fail"
    assert verdict.as_json()["baseline_run"] == "20260101T000000Z-demo-abc123"
    assert "slower" in {gate.name for gate in view.gates}


def test_what_was_not_the_same_there_is_a_limit_of_the_verdict(old: Path, tmp_path: Path) -> None:
    new = on_disk(tmp_path / "new", replace(against(old), recover_s=20.0))
    RunDirectory(new).keep_baseline_run(old)
    verdict, _ = analyze(new)
    told = [limit for limit in verdict.limits if "baseline run" in limit]
    assert told == ["Not the same as in the baseline run: recovery, 15 s there, 20 s here."]
