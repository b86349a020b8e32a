"""The record of a run, read back whole from its directory; what cannot be read is told as missing."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness.core.blocks import Block, BlockStream, read_blocks
from harness.core.contents import Contents, contents
from harness.core.counted import counted
from harness.core.events import Event, Kind
from harness.core.migrations import databases_of
from harness.core.observation import Observed, observed, observer_line
from harness.core.operations import OperationTable
from harness.core.plan import Plan
from harness.core.record import (
    FinalRead,
    Found,
    HealthPoint,
    Part,
    Probe,
    Record,
    ShapePoint,
    SocketChange,
    Total,
    TotalRead,
    Watch,
    WebSocketPoint,
)
from harness.core.samples import SampleTable
from harness.core.schema_state import SchemaState, schema_state
from harness.core.waits import Wait
from harness.errors import UsageError
from harness.store import BASELINE, part_of

__all__ = ["read_record"]

T = TypeVar("T")

STREAMS = ("samples", "operations")
"""The streams of packed blocks, each in `<stream>.blocks`."""


def read_record(path: Path, with_baseline: bool = True) -> Record:
    """Read a run directory back; raises UsageError when it is none.

    `with_baseline`: with the record of the run that its gates compare with.
    """
    if not (path / "plan.json").is_file():
        raise UsageError(
            f"{path} is not a run directory: it has no plan.json.", "Give a folder such as runs/latest."
        )
    missing: list[str] = []
    plan = Plan.from_json(_json(path, "plan.json"))
    events = tuple(Event.from_json(line) for line in _lines(path, "events.ndjson", missing))
    bases = {str(e.data["worker"]): float(e.data["base_at"]) for e in events if e.kind == Kind.WORKER_JOINED}
    streams = {name: _streams(path, name, events, missing) for name in STREAMS}
    checked = list(_lines(path, "probes.ndjson", missing, optional=True))
    pushed = list(_lines(path, "websocket.ndjson", missing, optional=True))
    watched = _evidence(path, "observer.json", missing, observed) or Observed()
    return Record(
        plan=plan,
        environment=_json(path, "environment.json"),
        events=events,
        samples=SampleTable.join(bases, streams["samples"]),
        operations=OperationTable.join(bases, streams["operations"]),
        final_reads=tuple(
            _final_read(line) for line in _lines(path, "final_read.ndjson.gz", missing, optional=True)
        ),
        totals=tuple(TotalRead(**line) for line in _lines(path, "totals.ndjson", missing, optional=True)),
        shapes=tuple(ShapePoint(**line) for line in _lines(path, "shapes.ndjson", missing, optional=True)),
        reads_checked=sum(int(line.get("reads_checked", 0)) for line in checked),
        probes=tuple(Probe(**line) for line in checked if "probe" in line),
        health=tuple(
            _tupled(HealthPoint, line, "late_ms")
            for line in _lines(path, "health.ndjson", missing, optional=True)
        ),
        websocket=tuple(_websocket_point(line) for line in pushed if "connections" in line),
        sockets=tuple(SocketChange(**line) for line in pushed if "connection" in line),
        waits=tuple(_each(path, "locks.ndjson", missing, Wait.from_json, watched.waits)),
        observed=watched,
        database=tuple(_each(path, "database.ndjson", missing, observer_line, watched.lines)),
        schema_before=_evidence(path, "catalog_before.json", missing, schema_state),
        schema_after=_evidence(path, "catalog_after.json", missing, schema_state),
        schema_killed=_evidence(path, "catalog_killed.json", missing, schema_state),
        baseline=_baseline(path, missing) if with_baseline and plan.baseline_run else None,
        schema_after_rollback=_evidence(path, "catalog_after_rollback.json", missing, schema_state),
        predictions=_evidence(path, "predictions.json", missing, dict) or None,
        elsewhere={name: _watch(path, part_of(name), missing) for name in databases_of(events)},
        parts={step.name: _part(path, part_of(step.name), missing) for step in plan.steps if plan.several},
        contents=dict(_contents(path, events, missing)),
        missing=tuple(missing),
        incomplete_workers=tuple(s.worker for s in streams["operations"] if s.missing),
        incomplete_samples=tuple(s.worker for s in streams["samples"] if s.missing),
    )


def _watch(path: Path, part: str, missing: list[str]) -> Watch:
    told = _evidence(path, f"{part}observer.json", missing, observed) or Observed()
    waits = _each(path, f"{part}locks.ndjson", missing, Wait.from_json, told.waits)
    lines = _each(path, f"{part}database.ndjson", missing, observer_line, told.lines)
    return Watch(told, tuple(waits), tuple(lines))


def _part(path: Path, part: str, missing: list[str]) -> Part:
    def schema(name: str) -> SchemaState | None:
        return _evidence(path, f"{part}catalog_{name}.json", missing, schema_state)

    return Part(
        before=schema("before"),
        after=schema("after"),
        before_rollback=schema("before_rollback"),
        after_rollback=schema("after_rollback"),
        predictions=_evidence(path, f"{part}predictions.json", missing, dict) or None,
    )


def _contents(path: Path, events: Iterable[Event], missing: list[str]) -> Iterator[tuple[str, Contents]]:
    for name in ("", *databases_of(events)):
        found = _evidence(path, f"{part_of(name) if name else ''}contents.json", missing, contents)
        if found is not None:
            yield name, found


def _baseline(path: Path, missing: list[str]) -> Record | None:
    if not (path / BASELINE / "plan.json").is_file():
        missing.append(f"{BASELINE} is not there")
        return None
    return read_record(path / BASELINE, with_baseline=False)


def _json(path: Path, name: str) -> dict[str, Any]:
    file = path / name
    value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return value


_NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, AttributeError)
"""What reading evidence raises that is damaged, or a newer version's."""


def _evidence(path: Path, name: str, missing: list[str], read: Callable[[dict[str, Any]], T]) -> T | None:
    """What a file says that need not be there; one that is not understood is named in `missing`."""
    if not (path / name).is_file():
        return None
    try:
        return read(_json(path, name))
    except _NOT_UNDERSTOOD:
        missing.append(f"{name} is unreadable")
        return None


def _each(
    path: Path,
    name: str,
    missing: list[str],
    read: Callable[[dict[str, Any]], T],
    written: int | None = None,
) -> Iterator[T]:
    """What each line of such a file says; fewer than were `written` are named in `missing`."""
    strange = found = 0
    for line in _lines(path, name, missing, optional=True):
        found += 1
        try:
            yield read(line)
        except _NOT_UNDERSTOOD:
            strange += 1
    if strange:
        missing.append(f"{strange} lines of {name} are not understood")
    if written is not None and found < written:
        missing.append(f"{written - found} of {written} lines of {name} are not there")


def _lines(path: Path, name: str, missing: list[str], optional: bool = False) -> Iterator[dict[str, Any]]:
    """The lines of a file; what is torn or absent is named in `missing`."""
    file = path / name
    if not file.is_file():
        if not optional:
            missing.append(f"{name} is not there")
        return
    read = 0
    try:
        with gzip.open(file, "rb") if name.endswith(".gz") else file.open("rb") as lines:
            for line in lines:
                value = json.loads(line)
                read += 1
                yield value
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error):
        missing.append(f"line {read + 1} of {name} is unreadable; nothing after it was read")


def _streams(path: Path, name: str, events: Iterable[Event], missing: list[str]) -> list[BlockStream]:
    """The stream's blocks, joined per worker, with every absent block named in `missing`."""
    file = path / f"{name}.blocks"
    blocks, torn = read_blocks(file.read_bytes()) if file.is_file() else ([], None)
    if torn:
        missing.append(f"{file.name}: {torn}")
    said = {str(e.data["worker"]): e.data.get(name) for e in events if e.kind == Kind.WORKER_FINAL}
    joined = []
    for worker in sorted({block.worker for block in blocks} | set(said)):
        own: list[Block] = [block for block in blocks if block.worker == worker]
        stream = BlockStream.join(worker, own, said.get(worker))
        if stream.missing:
            missing.append(f"{counted(len(stream.missing), 'block')} of {name} from worker {worker}")
        joined.append(stream)
    return joined


def _final_read(line: Mapping[str, Any]) -> FinalRead:
    stored, stored_totals = line.get("stored"), line.get("stored_totals")
    transfers = line.get("stored_transfers")
    return FinalRead(
        account=line["account"],
        at=line["at"],
        found=tuple(Found(*found) for found in line["found"]),
        error=line.get("error"),
        stored=None if stored is None else tuple(Found(*found) for found in stored),
        worker=line.get("worker", ""),
        totals=tuple(Total(*total) for total in line.get("totals") or ()),
        stored_totals=None if stored_totals is None else tuple(Total(*total) for total in stored_totals),
        stored_transfers=None if transfers is None else tuple(transfers),
    )


def _websocket_point(line: Mapping[str, Any]) -> WebSocketPoint:
    statuses = tuple((number, connection, ago_s) for number, connection, ago_s in line.get("statuses", ()))
    low, high = line.get("clock", (None, None))
    told = {**line, "delays_s": tuple(line["delays_s"]), "statuses": statuses, "clock": (low, high)}
    return WebSocketPoint(**told)


def _tupled(kind: type[Any], line: Mapping[str, Any], name: str) -> Any:
    return kind(**{**line, name: tuple(line[name])})
