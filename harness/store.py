"""The run directory: append-only while the run lasts (`harness/stored_record.py` reads it back).

Every file and its content is described in the table of README's *Reading a run directory*.
"""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, TextIO, cast

from harness.core.events import Event
from harness.core.plan import Plan
from harness.core.secrets import mask_known, mask_texts
from harness.errors import UsageError

__all__ = ["PERCENTILES", "RunDirectory", "dump_json", "part_of"]

log = logging.getLogger("harness")

PERCENTILES = "percentiles"
"""The folder of the distributions by percentile."""

DERIVED = ("verdict.json", "report.html", "junit.xml", "summary.md", PERCENTILES)
"""What analysis writes: of no use in the copy of another run."""

BASELINE = "baseline_run"
"""The folder of that copy."""

STATEMENTS = ("sql", "key")
"""Keys of the tracer's records with the text of a statement, which is parsed when the run is judged. The
tracer itself takes the secrets out that SQL has a place for (`harness/db/tracer/mul_tracer/sql.py`)."""


def dump_json(value: Any) -> str:
    """JSON that is the same for the same value: sorted keys, no NaN, a newline at the end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def part_of(name: str) -> str:
    """Where a run directory has what is of one migration, of several, or of its database alone."""
    return f"migrations/{name}/"


class RunDirectory:
    """Writes one run's files. Lines are flushed as they come, so that a killed run leaves what it knew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[str, IO[Any]] = {}

    @classmethod
    def create(cls, plan: Plan, now: datetime, token: str | None = None) -> RunDirectory:
        """Make `<run_root>/<UTC time>-<plan>-<random>/`, point `latest` at it, and write `plan.json`."""
        root = Path(plan.run_root)
        name = f"{now:%Y%m%dT%H%M%SZ}-{plan.name}-{token or secrets.token_hex(3)}"
        try:
            (root / name / "logs").mkdir(parents=True)
        except OSError as error:
            what = f"The run directory {root / name} cannot be made: {error.strerror}."
            raise UsageError(what, _another_place(root, error)) from error
        _point_latest(root, name)
        directory = cls(root / name)
        directory.write_json("plan.json", plan.as_json())
        return directory

    @property
    def run_id(self) -> str:
        """The folder's own name."""
        return self.path.name

    def log(self, name: str) -> Path:
        """Where the child or service `name` writes what it says."""
        return self.path / "logs" / f"{name}.log"

    def mask_logs(self, known: Iterable[str]) -> None:
        """Take credentials and the `known` secrets out of what children and services wrote, once they ended.

        They write to their files themselves, and may print anything. A file without any is left as it is; of
        one that cannot be masked a warning is logged.
        """
        told = tuple(known)
        for file in sorted([*self.path.glob("logs/*.log"), *self.path.glob("logs/*.trace")]):
            masked = partial(_masked_record if file.suffix == ".trace" else mask_known, known=told)
            try:
                _mask_lines(file, masked)
            except OSError as error:
                log.warning(
                    "%s could not be masked (%s): look for secrets in it before you share it.",
                    file.relative_to(self.path),
                    error.strerror or type(error).__name__,
                )

    def write_json(self, name: str, value: Any) -> None:
        """Write a whole file at once, never half of it."""
        self.write_text(name, dump_json(value))

    def write_text(self, name: str, text: str) -> None:
        """Write a whole file at once, never half of it."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.part")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(place)

    def append_event(self, event: Event) -> None:
        """Add a line to `events.ndjson`, its texts masked."""
        self.append_line("events.ndjson", mask_texts(event.as_json(), parsed=STATEMENTS))

    def append_line(self, name: str, value: Mapping[str, Any]) -> None:
        """Add a line to an `.ndjson` or `.ndjson.gz` file."""
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        self._write(name, line.encode())

    def append_block(self, stream: str, block: bytes) -> None:
        """Add an encoded block to a stream, as the worker sent it."""
        self._write(f"{stream}.blocks", block)

    def _write(self, name: str, data: bytes) -> None:
        file = self._open.get(name) or self._open.setdefault(name, self._open_for_append(name))
        file.write(data)
        file.flush()

    def _open_for_append(self, name: str) -> IO[Any]:
        path = self.path / name
        if name.endswith(".gz"):
            return cast("IO[Any]", gzip.open(path, "ab"))
        return path.open("ab")

    def keep_baseline_run(self, path: Path) -> None:
        """Copy the record of the run that gates compare with: judging must not need its directory later."""
        left_out = shutil.ignore_patterns(*DERIVED, BASELINE, "logs")
        shutil.copytree(path, self.path / BASELINE, ignore=left_out)

    def close(self) -> None:
        """Close every file; a later append opens it again."""
        while self._open:
            self._open.popitem()[1].close()


def _mask_lines(file: Path, masked: Callable[[str], str]) -> None:
    """Replace a file whose lines are others when they are masked. Raises OSError, and leaves it then."""
    with _text(file, "r") as lines:
        if all(masked(line) == line for line in lines):
            return
    copy = file.with_name(f"{file.name}.part")
    try:
        with _text(file, "r") as lines, _text(copy, "w") as kept:
            kept.writelines(map(masked, lines))
        copy.replace(file)
    finally:
        copy.unlink(missing_ok=True)


def _text(file: Path, mode: Literal["r", "w"]) -> TextIO:
    return file.open(mode, encoding="utf-8", errors="surrogateescape", newline="")


def _masked_record(line: str, known: Iterable[str]) -> str:
    """A line of JSON, masked within its texts: it stays JSON, and its statements stay SQL."""
    try:
        record = json.loads(line)
    except ValueError:
        return mask_known(line, known)
    masked = mask_texts(record, known, STATEMENTS)
    return line if masked == record else json.dumps(masked, ensure_ascii=False, separators=(",", ":")) + "\n"


def _another_place(root: Path, error: OSError) -> str:
    """What to do where no run directory can be made; of a folder that may not be written, whose it is."""
    there = next((folder for folder in (root, *root.absolute().parents) if folder.exists()), None)
    if error.errno != errno.EACCES or there is None:
        return "Give another place with --run-dir."
    owner = f"{there.stat().st_uid}:{there.stat().st_gid}"
    return (
        f"{there} belongs to {owner}, and this is {os.geteuid()}:{os.getegid()}: run as its owner (in the"
        f" compose stack: export MUL_USER={owner}), or give another place with --run-dir."
    )


def _point_latest(root: Path, name: str) -> None:
    temporary = root / f".latest-{name}"
    temporary.symlink_to(name)
    os.replace(temporary, root / "latest")
