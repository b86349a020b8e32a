"""What was written comes back whole, and what cannot be read is told as missing."""

from __future__ import annotations

import gzip
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.blocks import Block
from harness.core.events import Event, Kind
from harness.core.judge import judge
from harness.core.observation import DatabasePoint
from harness.core.operations import OperationKind, OperationOutcome, draft_operation, pack_operations
from harness.core.record import (
    Found,
    HealthPoint,
    Probe,
    ShapePoint,
    SocketChange,
    Total,
    TotalRead,
    WebSocketPoint,
)
from harness.core.samples import draft_sample, pack_samples
from harness.errors import UsageError
from harness.store import RunDirectory, part_of
from harness.stored_record import read_record
from tests.fix_record import a_plan, a_schema, a_wait, on_disk, watched
from tests.fix_several import BILLING, SHOP, several_events, several_plan

KEY = uuid.UUID(int=7)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(a_plan(run_root=str(tmp_path / "runs")), NOW, "abc123")


def a_block(sequence: int) -> bytes:
    payload = pack_samples(draft_sample(1.0, 0.1, 0.1, 0, 0, 0))
    return Block("w1", sequence, 1, payload, {"endpoints": {"0": "GET /"}}).encode()


def an_operation_block(sequence: int = 0) -> bytes:
    payload = pack_operations(
        draft_operation(0, OperationKind.CREATE, OperationOutcome.OK, 1, 1.0, 1.1, 0, 0)
    )
    return Block("w1", sequence, 1, payload, {"accounts": {"0": "ada"}}, (0, KEY.bytes)).encode()


def tell(directory: RunDirectory, samples: int = 1, operations: int = 1) -> None:
    """The events of a worker that joined at 10 s and sent so many blocks."""
    directory.append_event(Event(0.0, Kind.WORKER_JOINED, {"worker": "w1", "base_at": 10.0}))
    final = {"worker": "w1", "samples": samples, "operations": operations}
    directory.append_event(Event(30.0, Kind.WORKER_FINAL, final))


def test_a_final_read_that_knows_no_totals_is_read(directory: RunDirectory) -> None:
    line = {"account": "ada", "at": 40.0, "found": [], "stored": None, "error": None, "worker": "w1"}
    directory.append_line("final_read.ndjson.gz", line)
    directory.close()
    (read,) = read_record(directory.path).final_reads
    assert (read.totals, read.stored_totals, read.stored_transfers) == ((), None, None)


def test_everything_comes_back(directory: RunDirectory) -> None:
    tell(directory)
    directory.append_block("samples", a_block(0))
    directory.append_block("operations", an_operation_block())
    directory.write_json("environment.json", {"python": "3.11"})
    found = [str(KEY), 1, "ada", 1]
    directory.append_line(
        "final_read.ndjson.gz",
        {
            "account": "ada",
            "at": 40.0,
            "found": [found],
            "stored": [found],
            "error": None,
            "worker": "w1",
            "totals": [["wallets", "30000", 3]],
            "stored_totals": [["wallets", "29990", 3]],
            "stored_transfers": [str(KEY)],
        },
    )
    total = {"account": "ada", "name": "wallets", "amount": "30000", "count": 3, "took_s": 0.1, "at": 12.0}
    directory.append_line("totals.ndjson", total)
    directory.append_line("shapes.ndjson", {"at": 5.0, "endpoint": "GET /documents"})
    shape = {"at": 28.0, "endpoint": "GET /documents", "name": "share_id", "shown": 9}
    directory.append_line("shapes.ndjson", shape)
    probe = {"at": 1.0, "account": "ada", "probe": "foreign_read", "outcome": "refused", "detail": ""}
    directory.append_line("probes.ndjson", probe)
    directory.append_line("probes.ndjson", {"worker": "w1", "reads_checked": 7})
    health = {"at": 1.0, "worker": "w1", "users": 3, "in_flight": 1, "cpu_ratio": None, "memory_mb": None}
    directory.append_line("health.ndjson", {**health, "late_ms": [1.5]})
    socket = dict.fromkeys(("connections", "delivered", "missed", "duplicated", "reordered", "reconnects"), 2)
    directory.append_line("websocket.ndjson", {"at": 1.0, "worker": "w1", **socket, "delays_s": [0.25]})
    pushed = {"clock": [-0.1, None], "statuses": [[1, 7, 0.5]], "odd": {"refused: HTTP 503": 1}}
    directory.append_line("websocket.ndjson", {"at": 2.0, "worker": "w1", **socket, "delays_s": [], **pushed})
    begun = {"at": 1.5, "worker": "w1", "connection": 7, "account": "ada", "away_s": 0.3}
    directory.append_line("websocket.ndjson", begun)
    directory.close()

    record = read_record(directory.path)
    assert record.missing == ()
    assert record.plan.run_root == str(directory.path.parent)
    assert record.environment == {"python": "3.11"}
    assert record.samples.at.tolist() == pytest.approx([11.0])
    (operation,) = record.operations
    assert (operation.account, operation.key) == ("ada", str(KEY))
    assert operation.invoked == pytest.approx(11.0)
    assert record.final_reads[0].found == (Found(str(KEY), 1, "ada", 1),) == record.final_reads[0].stored
    assert record.final_reads[0].totals == (Total("wallets", "30000", 3),)
    assert record.final_reads[0].stored_totals == (Total("wallets", "29990", 3),)
    assert record.final_reads[0].stored_transfers == (str(KEY),)
    assert record.shapes == (
        ShapePoint(5.0, "GET /documents"),
        ShapePoint(28.0, "GET /documents", "share_id", shown=9),
    )
    assert record.totals == (TotalRead(12.0, "ada", "wallets", "30000", 3, 0.1),)
    assert record.reads_checked == 7
    assert record.probes == (Probe(1.0, "ada", "foreign_read", "refused"),)
    assert record.health == (HealthPoint(1.0, "w1", 3, 1, None, None, (1.5,)),)
    old, new = record.websocket
    assert old == WebSocketPoint(1.0, "w1", 2, 2, 2, 2, 2, 2, (0.25,))
    assert (new.clock, new.statuses, new.odd) == ((-0.1, None), ((1, 7, 0.5),), {"refused: HTTP 503": 1})
    assert record.sockets == (SocketChange(1.5, "w1", 7, "ada", away_s=0.3),)


def test_a_folder_that_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no plan\.json") as refused:
        read_record(tmp_path)
    assert "runs/latest" in refused.value.remedy


def test_a_run_that_was_killed_at_once_is_read(directory: RunDirectory) -> None:
    record = read_record(directory.path)
    assert record.missing == ("events.ndjson is not there",)
    assert (len(record.samples), len(record.operations)) == (0, 0)
    assert judge(record).exit_code == 4


def test_a_torn_last_line_is_told(directory: RunDirectory) -> None:
    tell(directory)
    directory.close()
    with (directory.path / "events.ndjson").open("a") as file:
        file.write('{"at": 3')
    record = read_record(directory.path)
    assert len(record.events) == 2
    assert "line 3 of events.ndjson is unreadable; nothing after it was read" in record.missing


def test_a_torn_gzip_is_told(directory: RunDirectory) -> None:
    directory.append_line("final_read.ndjson.gz", {"account": "ada", "at": 1.0, "found": []})
    directory.close()
    file = directory.path / "final_read.ndjson.gz"
    file.write_bytes(file.read_bytes() + gzip.compress(b'{"account": "bob"')[:-12])
    record = read_record(directory.path)
    assert [read.account for read in record.final_reads] == ["ada"]
    assert "line 2 of final_read.ndjson.gz is unreadable; nothing after it was read" in record.missing


@pytest.mark.parametrize(
    "damage",
    [b"no gzip", gzip.compress(b'{"account": "bob"}')[:10] + b"\xff" * 20],
    ids=["no gzip", "damaged within"],
)
def test_a_damaged_gzip_is_told(directory: RunDirectory, damage: bytes) -> None:
    directory.append_line("final_read.ndjson.gz", {"account": "ada", "at": 1.0, "found": []})
    directory.close()
    file = directory.path / "final_read.ndjson.gz"
    file.write_bytes(file.read_bytes() + damage)
    record = read_record(directory.path)
    assert any("of final_read.ndjson.gz is unreadable" in text for text in record.missing)


def test_a_damaged_line_is_told_by_its_number(directory: RunDirectory) -> None:
    (directory.path / "probes.ndjson").write_text('{"reads_checked": 1}\n{"at"\n{"reads_checked": 1}\n')
    record = read_record(directory.path)
    assert "line 2 of probes.ndjson is unreadable; nothing after it was read" in record.missing
    assert record.reads_checked == 1


def test_the_schema_that_a_killed_migration_left_is_read(directory: RunDirectory) -> None:
    assert read_record(directory.path).schema_killed is None
    directory.write_json("catalog_killed.json", asdict(a_schema()))
    assert read_record(directory.path).schema_killed == a_schema()


def test_evidence_that_is_not_understood_is_told_and_costs_no_verdict(directory: RunDirectory) -> None:
    for name in ("observer.json", "predictions.json", "catalog_before.json"):
        directory.write_text(name, '{"at":')
    directory.write_json("catalog_after.json", {"tables": {"documents": {}}})
    directory.append_line("locks.ndjson", {"moon": "full"})
    directory.append_line("database.ndjson", {"what": "comet"})
    directory.append_line("database.ndjson", {"what": "point", "at": 1.0})
    directory.close()
    record = read_record(directory.path)
    assert (record.waits, record.predictions) == ((), None)
    assert (record.schema_before, record.schema_after) == (None, None)
    assert record.database == (DatabasePoint(1.0),)
    assert {text for text in record.missing if "ndjson" not in text} == {
        "observer.json is unreadable",
        "predictions.json is unreadable",
        "catalog_before.json is unreadable",
        "catalog_after.json is unreadable",
    }
    assert {f"1 lines of {name} are not understood" for name in ("locks.ndjson", "database.ndjson")} <= set(
        record.missing
    )
    assert judge(record).status == "inconclusive"


@pytest.mark.parametrize("name", ["locks.ndjson", "database.ndjson"])
def test_lines_that_the_observer_wrote_and_are_not_there_are_told(directory: RunDirectory, name: str) -> None:
    point = {"what": "point", "at": 1.0}
    wait = {"pid": 5, "started_at": 1.0, "ended_at": 2.0, "last_seen_at": 2.0, "lock_type": "relation"}
    directory.append_line("locks.ndjson", {**wait, "mode": "ShareLock"})
    directory.append_line("database.ndjson", point)
    directory.close()
    directory.write_json("observer.json", {"began_at": 0.1, "ended_at": 9.0, "waits": 1, "lines": 1})
    assert not any("observer" in text or "lines of" in text for text in read_record(directory.path).missing)
    (directory.path / name).write_text("")
    assert f"1 of 1 lines of {name} are not there" in read_record(directory.path).missing
    (directory.path / name).unlink()
    assert f"1 of 1 lines of {name} are not there" in read_record(directory.path).missing


def test_blocks_that_never_came_are_told(directory: RunDirectory) -> None:
    tell(directory, samples=3, operations=2)
    directory.append_block("samples", a_block(0))
    directory.append_block("operations", an_operation_block(1))
    directory.close()
    record = read_record(directory.path)
    assert "2 blocks of samples from worker w1" in record.missing
    assert "1 block of operations from worker w1" in record.missing
    assert (record.incomplete_workers, record.incomplete_samples) == (("w1",), ("w1",))


def test_a_damaged_block_is_told(directory: RunDirectory) -> None:
    directory.append_block("samples", a_block(0) + a_block(1)[:-1])
    directory.close()
    record = read_record(directory.path)
    assert len(record.samples) == 1
    assert any(text.startswith("samples.blocks: a damaged block") for text in record.missing)


@pytest.fixture
def several(tmp_path: Path) -> Iterator[RunDirectory]:
    """A run of two migrations, of which nothing but the events is there yet."""
    directory = RunDirectory.create(several_plan(run_root=str(tmp_path / "runs")), NOW, "abc123")
    for event in several_events():
        directory.append_event(event)
    yield directory
    directory.close()


def test_what_is_of_one_migration_of_several_is_read_from_a_folder_of_its_own(several: RunDirectory) -> None:
    several.write_json(f"{part_of(SHOP)}catalog_before.json", asdict(a_schema()))
    several.write_json(f"{part_of(BILLING)}observer.json", asdict(watched(waits=1, lines=0)))
    several.append_line(f"{part_of(BILLING)}locks.ndjson", asdict(a_wait(30.1, 30.9)))
    record = read_record(several.path)
    assert record.parts[SHOP].before == a_schema()
    assert record.parts[BILLING].before is None
    assert record.elsewhere[BILLING].waits == (a_wait(30.1, 30.9),)
    assert record.elsewhere[BILLING].observed == watched(waits=1, lines=0)
    assert record.waits == ()


def test_what_is_lost_of_one_of_several_is_named_by_its_file(several: RunDirectory) -> None:
    several.write_json(f"{part_of(BILLING)}observer.json", asdict(watched(waits=2)))
    missing = read_record(several.path).missing
    assert "2 of 2 lines of migrations/billing/locks.ndjson are not there" in missing


def test_the_run_that_gates_compare_with_is_kept_without_what_was_derived(
    directory: RunDirectory, tmp_path: Path
) -> None:
    old = on_disk(tmp_path / "old", a_plan(baseline_run="runs/older"))
    (old / "verdict.json").write_text("{}")
    (old / "baseline_run").mkdir()
    directory.write_json("plan.json", a_plan(baseline_run=str(old)).as_json())
    directory.keep_baseline_run(old)
    shutil.rmtree(old)
    record = read_record(directory.path)
    assert record.baseline is not None
    assert (len(record.baseline.samples), record.baseline.missing) == (5200, ())
    kept = {file.name for file in (directory.path / "baseline_run").iterdir()}
    assert kept & {"verdict.json", "logs", "baseline_run"} == set()
    assert read_record(directory.path, with_baseline=False).baseline is None


def test_what_is_of_one_migration_of_several_is_kept_too(several: RunDirectory, tmp_path: Path) -> None:
    several.write_json(f"{part_of(SHOP)}catalog_before.json", asdict(a_schema()))
    directory = RunDirectory.create(a_plan(run_root=str(tmp_path)), NOW)
    directory.keep_baseline_run(several.path)
    assert read_record(directory.path / "baseline_run").parts[SHOP].before == a_schema()


def test_a_kept_run_that_is_gone_is_missing(directory: RunDirectory) -> None:
    directory.write_json("plan.json", a_plan(baseline_run="runs/old").as_json())
    assert "baseline_run is not there" in read_record(directory.path).missing
