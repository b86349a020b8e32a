"""What judging a ledger costs: `python -m tests.benchmarks.ledger`.

Makes the record of so many operations (a million) and their final read, then reads and judges it in a process
of its own, and prints how much memory that took over what the imports take, and how many seconds. Beside it
the plain way: a dataclass for each operation, and a pass over them with a dictionary of keys.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness.core.blocks import Block, BlockStream, read_blocks
from harness.core.ledger import judge_ledger
from harness.core.operations import (
    KeyNumbers,
    Operation,
    OperationKind,
    OperationOutcome,
    OperationTable,
    draft_operation,
    pack_operations,
)
from harness.core.record import FinalRead, Found
from tests.benchmarks.memory import peak_mb
from tests.benchmarks.table import ANY, Row, program

OPERATIONS = 1_000_000
ACCOUNTS = 200
BLOCK = 1_000
ROUNDS = 3
LIMIT_MB = 200.0
LIMIT_S = 20.0

Done = tuple[int, OperationKind, int, float, float, uuid.UUID, int]


def history(size: int) -> Iterator[Done]:
    """Of a hundred operations some 10 create, 12 update, 2 delete and the others are reads."""
    random = Random(1)
    versions: list[dict[uuid.UUID, int]] = [{} for _ in range(ACCOUNTS)]
    keys: list[list[uuid.UUID]] = [[] for _ in range(ACCOUNTS)]
    for number in range(size):
        account, at, what = random.randrange(ACCOUNTS), number / 1000, random.random()
        own, known = keys[account], versions[account]
        if not own or what < 0.10:
            own.append(key := uuid.UUID(int=random.getrandbits(128)))
            known[key] = 1
            yield account, OperationKind.CREATE, 1, at, at + 0.01, key, 0
            continue
        place = random.randrange(len(own))
        key = own[place]
        if what < 0.22:
            known[key] += 1
            yield account, OperationKind.UPDATE, known[key], at, at + 0.01, key, 0
        elif what < 0.24:
            own[place] = own[-1]
            own.pop()
            yield account, OperationKind.DELETE, known.pop(key), at, at + 0.01, key, 0
        else:
            yield account, OperationKind.READ, known[key], at, at + 0.01, key, 1


def make(file: Path, size: int) -> None:
    """Write the blocks, and beside them what is left at the end."""
    names = {"accounts": {str(number): f"account-{number:04}" for number in range(ACCOUNTS)}}
    left: dict[uuid.UUID, tuple[int, int]] = {}
    drafts = bytearray()
    numbers = KeyNumbers()
    with file.open("wb") as blocks:
        for sequence, (account, kind, version, begun, ended, key, shown) in enumerate(history(size), 1):
            drafts += draft_operation(account, kind, 0, version, begun, ended, numbers[key.int], shown)
            if kind == OperationKind.DELETE:
                del left[key]
            else:
                left[key] = account, version
            if sequence % BLOCK == 0 or sequence == size:
                number, count = (sequence - 1) // BLOCK, (sequence - 1) % BLOCK + 1
                block = Block("w1", number, count, pack_operations(drafts), names, numbers.take())
                blocks.write(block.encode())
                drafts.clear()
    lines = (f"{account} {key} {version}\n" for key, (account, version) in left.items())
    file.with_suffix(".left").write_text("".join(lines))


def final_reads(file: Path) -> list[FinalRead]:
    """What is left, by account."""
    found: list[list[Found]] = [[] for _ in range(ACCOUNTS)]
    with file.with_suffix(".left").open() as lines:
        for line in lines:
            account, key, version = line.split()
            name = f"account-{int(account):04}"
            found[int(account)].append(Found(key, int(version), name, int(version)))
    return [FinalRead(f"account-{number:04}", 1e6, tuple(own)) for number, own in enumerate(found)]


def stream_of(file: Path) -> BlockStream:
    """The worker's operations."""
    return BlockStream.join("w1", read_blocks(file.read_bytes())[0])


def in_columns(file: Path) -> int:
    """As the harness does it; the number of findings."""
    table = OperationTable.join({}, [stream_of(file)])
    ledger = judge_ledger(table, final_reads(file))
    return ledger.lost + ledger.unexpected + ledger.resurrected + ledger.duplicated + ledger.stale


@dataclass(slots=True)
class Key:
    """What the plain way knows of a key."""

    acknowledged: int = 0
    deleted: bool = False


def in_dataclasses(file: Path) -> int:
    """The plain way, for the final read and for reads that follow each other; the number of findings."""
    operations: tuple[Operation, ...] = tuple(OperationTable.join({}, [stream_of(file)]))
    keys: dict[str, Key] = {}
    wrong = 0
    for one in operations:
        key = keys.setdefault(one.key, Key())
        if one.kind == OperationKind.READ:
            wrong += one.version < key.acknowledged
        elif one.outcome == OperationOutcome.OK:
            key.acknowledged = max(key.acknowledged, one.version)
            key.deleted = key.deleted or one.kind == OperationKind.DELETE
    shown = {found.key: found.version for read in final_reads(file) for found in read.found}
    return wrong + sum(shown.get(k, 0) != key.acknowledged for k, key in keys.items() if not key.deleted)


PLAIN = "dataclasses"
WAYS = {"columns": in_columns, PLAIN: in_dataclasses}


def measure(way: str, file: Path) -> None:
    """In the child: print the findings, the megabytes over what the imports took, and the seconds."""
    before_mb = peak_mb()
    begun = time.perf_counter()
    findings = WAYS[way](file)
    seconds = time.perf_counter() - begun
    print(findings, peak_mb() - before_mb, seconds)  # noqa: T201


def rows(quick: bool) -> list[Row]:
    """Memory and seconds of both ways."""
    size, rounds = (1_000, 1) if quick else (OPERATIONS, ROUNDS)
    told: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "operations.blocks")
        make(file, size)
        for way in list(WAYS) * rounds:
            command = [sys.executable, "-m", "tests.benchmarks.ledger", way, str(file)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            told[way].append(tuple(map(float, said)))
    work = f"judge {size:,} operations"
    made = []
    for way, found in told.items():
        ours = way == "columns"
        wrong, megabytes, seconds = zip(*found, strict=True)
        if any(wrong):
            raise RuntimeError(f"{way} found {wrong} violations in a record that has none")
        made += [
            Row(work, way, "MB", megabytes, PLAIN, (None, LIMIT_MB) if ours else ANY),
            Row(work, way, "s", seconds, PLAIN, (None, LIMIT_S) if ours else ANY),
        ]
    return made


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WAYS:
        measure(sys.argv[1], Path(sys.argv[2]))
    else:
        raise SystemExit(program(rows))
