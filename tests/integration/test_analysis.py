"""Judging is deterministic: the same directory gives the same bytes, however Python orders its sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.core.blocks import Block
from harness.core.events import Event, Kind
from harness.core.operations import (
    KeyNumbers,
    OperationKind,
    OperationOutcome,
    draft_operation,
    pack_operations,
)
from harness.core.record import FinalRead, Found, Total
from harness.core.samples import Outcome
from harness.load.messages import final_read_line
from harness.store import RunDirectory
from tests.fix_record import a_deadlock, a_plan, a_schema, a_wait, messages, on_disk, watched
from tests.fix_samples import joined, steady

pytestmark = pytest.mark.integration

ACCOUNTS = [f"account-{number:04}" for number in range(1, 9)]
ENDPOINTS = ["GET /documents", "PUT /documents/{id}", "POST /transfers", "GET /wallets"]
PHASES = ("baseline", "migrate", "recover")
PERCENTILES = [f"percentiles/{phase}{what}.hgrm" for phase in PHASES for what in ("", "-service")]
DERIVED = ("verdict.json", "report.html", "junit.xml", "summary.md", *PERCENTILES)
OK = OperationOutcome.OK
PROBED = {
    "foreign_read": "leaked",
    "canary": "leaked",
    "forged_signature": "accepted",
    "fresh_login": "failed",
    "old_token": "failed",
    "first_use": "failed",
}


def _key(account: int, number: int) -> uuid.UUID:
    return uuid.UUID(int=account * 100 + number)


def _operations(keys: KeyNumbers) -> Iterator[bytes]:
    """Each account creates five records, changes one and deletes one; one write has no clear end. A read
    shows an older version than the one before it.
    """
    for account in range(len(ACCOUNTS)):
        key = [keys[_key(account, number).int] for number in range(7)]
        for number in range(5):
            yield draft_operation(account, OperationKind.CREATE, OK, 1, 8, 8.1, key[number], 0)
        yield draft_operation(account, OperationKind.UPDATE, OK, 2, 9, 9.1, key[1], 0)
        yield draft_operation(account, OperationKind.DELETE, OK, 0, 10, 10.1, key[2], 0)
        unsure = OperationOutcome.INDETERMINATE
        yield draft_operation(account, OperationKind.CREATE, unsure, 1, 11, 12, key[5], 0)
        yield draft_operation(account, OperationKind.UPDATE, OK, 2, 13, 13.1, key[6], 0)
        for at, version in ((14, 2), (15, 1), (16, 2)):
            yield draft_operation(account, OperationKind.READ, OK, version, at, at + 0.1, key[6], 1)


def _final_reads() -> Iterator[FinalRead]:
    """Of those five: lost, an older version, deleted and there, twice, and hidden; and a stranger."""
    for account, name in enumerate(ACCOUNTS):
        found = tuple(Found(str(_key(account, number)), 1, name, 1) for number in (1, 2, 3, 3, 9))
        found += (Found(str(_key(account, 6)), 2, name, 2),)
        stored = (*found, Found(str(_key(account, 4)), 1, name, 1))
        totals = (Total("wallets", "90", 3),)
        yield FinalRead(name, 54.0, found, None, stored, "w1", totals)


def a_bad_run(root: Path) -> Path:
    """The directory of a run in which everything went wrong, for all accounts and endpoints alike."""
    fine = [steady(end=27.0, rate=25.0, endpoint=name) for name in ENDPOINTS]
    slow = [steady(27.0, 52.0, 25.0, 4.0, endpoint=name) for name in ENDPOINTS]
    failed = [steady(27.0, 37.0, 20.0, outcome=Outcome.ERROR, endpoint=name) for name in ENDPOINTS]
    plan = a_plan(drills=("kill-migrator@statement=1",), totals=True, tokens=True)
    path = on_disk(root, plan, joined(*fine, *slow, *failed))
    directory = RunDirectory(path)
    keys = KeyNumbers()
    drafts = list(_operations(keys))
    names = {str(number): name for number, name in enumerate(ACCOUNTS)}
    records = pack_operations(b"".join(drafts))
    block = Block("w1", 0, len(drafts), records, {"accounts": names}, keys.take())
    directory.append_block("operations", block.encode())
    counts = {"samples": 1, "operations": 1, "started": 1, "finished": 1, "unfinished": 0}
    directory.append_event(Event(53.6, Kind.WORKER_FINAL, {"worker": "w1", **counts}))
    directory.append_event(Event(27.4, Kind.DRILL_BEGIN, {"drill": 1, "name": "kill-migrator"}))
    seen = {"drill": 1, "done": True, "revisions": ["0002"], "gone_s": 0.1}
    directory.append_event(Event(27.6, Kind.DRILL_END, seen))
    for read in _final_reads():
        directory.append_line("final_read.ndjson.gz", final_read_line(read))
    for kind in ("fresh_login", "first_use"):
        worked = {"at": 0.0, "account": ACCOUNTS[0], "probe": kind, "outcome": "worked"}
        directory.append_line("probes.ndjson", worked)
    for name in ACCOUNTS:
        total = {"account": name, "name": "wallets", "amount": "100", "count": 3, "took_s": 0.1}
        directory.append_line("totals.ndjson", {"at": 9.0, **total})
    for probe, outcome in PROBED.items():
        for name in reversed(ACCOUNTS):
            detail = f"{probe} of {name}"
            directory.append_line(
                "probes.ndjson",
                {"at": 30.0, "account": name, "probe": probe, "outcome": outcome, "detail": detail},
            )
    for point in messages(delay_s=5.0, missed=7):
        directory.append_line("websocket.ndjson", asdict(point))
    for pid in range(600, 612):
        directory.append_line("locks.ndjson", asdict(a_wait(27.1, 33.0, pid=pid)))
    directory.append_line("database.ndjson", {"what": "log", **asdict(a_deadlock(27.5))})
    directory.write_json("observer.json", asdict(watched(waits=12, lines=1)))
    directory.write_json("catalog_before.json", asdict(a_schema()))
    directory.write_json("catalog_after.json", asdict(a_schema(tables={}, indexes={})))
    directory.close()
    return path


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The run, judged by two processes whose sets are ordered differently."""
    run = a_bad_run(tmp_path_factory.mktemp("runs"))
    out = []
    for seed in ("1", "2"):
        out.append(tmp_path_factory.mktemp("judged"))
        command = [sys.executable, "-m", "harness", "analyze", str(run), "--out", str(out[-1])]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
    return out


@pytest.mark.parametrize("name", DERIVED)
def test_the_same_directory_gives_the_same_bytes(judged: list[Path], name: str) -> None:
    first, second = ((folder / name).read_bytes() for folder in judged)
    assert first == second


def test_percentiles_are_of_the_requests_that_were_answered_ok(judged: list[Path]) -> None:
    assert sorted(p.relative_to(judged[0]).as_posix() for p in judged[0].glob("*/*")) == sorted(PERCENTILES)
    # Four endpoints: 20 s of 25 answers a second of 20 ms; those of 4 s, due from 27 to 37.
    for phase, longest, count in (("baseline", "20.000", 2000), ("migrate", "4000.000", 1000)):
        lines = (judged[0] / f"percentiles/{phase}.hgrm").read_text().splitlines()
        last = next(line.split() for line in lines if " 1.000000000000 " in line)
        assert (last[0], int(last[2])) == (longest, count)


def test_what_is_judged_holds_findings_of_every_kind(judged: list[Path]) -> None:
    verdict = json.loads((judged[0] / "verdict.json").read_text())
    ledger, isolation, websocket = verdict["ledger"], verdict["isolation"], verdict["websocket"]
    for kind in ("lost", "hidden", "resurrected", "unexpected", "duplicated", "stale", "indeterminate"):
        assert ledger[kind] >= len(ACCOUNTS), kind
    assert isolation["leaks"] == 2 * len(ACCOUNTS)
    assert isolation["forged_tokens_accepted"] == len(ACCOUNTS)
    assert websocket["missed"] == 7
    assert [drill["name"] for drill in verdict["drills"]] == ["kill-migrator@statement=1"]
    assert len(verdict["blame"]) >= 1
    assert {gate["name"] for gate in verdict["gates"] if gate["status"] == "fail"} >= {
        *("errors", "latency", "stall", "deadlocks", "lost_writes", "unexpected_writes"),
        *("stale_reads", "totals", "forged_tokens", "leaks", "continuity", "ws_delivery", "ws_missed"),
    }
