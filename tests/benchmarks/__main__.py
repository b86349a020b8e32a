"""All benchmarks in turn: `python -m tests.benchmarks [NAME …] [--json FILE]`.

Each runs in a process of its own; its docstring says what it compares (`python -m tests.benchmarks.NAME` runs
it alone). One table is printed when all are through. Exit code 1: one broke its bounds, or failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.run.machine import describe
from tests.benchmarks.table import Line, Row, lines, show

BENCHMARKS = (
    "http",
    "recorder",
    "costs",
    "websocket",
    "users",
    "ledger",
    "intake",
    "analysis",
    "startup",
    "fidelity",
)
PEERS = ("aiohttp", "requests", "uvloop", "websocket-client", "websockets")
DEADLINE_S = 600.0
PATIENCE_S = 20.0


def run(name: str, quick: bool) -> list[Line] | None:
    """The lines of one benchmark; None when it ended without any, which standard error then explains."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.json")
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", "--json", str(file)]
        _wait([*command, "--quick"] if quick else command)
        if not file.exists():
            return None
        return lines([Row.from_json(one) for one in json.loads(file.read_text())])


def _wait(command: list[str]) -> None:
    """Run it to its end or the deadline; what it started ends with it, also on Ctrl-C."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        print(f"{command[2]}: stopped after {DEADLINE_S:g} s", file=sys.stderr)  # noqa: T201
    finally:
        for stop in (signal.SIGINT, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, stop)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_S)


def main() -> int:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="the smallest rounds: to see that all run")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write machine, versions and all rounds there"
    )
    options = parser.parse_args()
    for unknown in set(options.names) - set(BENCHMARKS):
        parser.error(f"{unknown}: no such benchmark; there are {', '.join(BENCHMARKS)}")
    found: dict[str, list[Line]] = {}
    failed = []
    for name in options.names or BENCHMARKS:
        begun = time.monotonic()
        said = run(name, options.quick)
        if said is None:
            failed.append(name)
        else:
            found[name] = said
        took = time.monotonic() - begun
        print(f"{name}: {'failed' if said is None else 'done'} after {took:.0f} s", file=sys.stderr)  # noqa: T201
    show(found)
    if options.json:
        options.json.write_text(json.dumps(report(found, failed, options.quick), indent=1) + "\n")
    return int(bool(failed) or not all(line.kept for said in found.values() for line in said))


def report(found: dict[str, list[Line]], failed: list[str], quick: bool) -> dict[str, Any]:
    """What the JSON says: on what it ran, and every round."""
    return {
        **describe(None, None),
        "peers": {name: _version(name) for name in PEERS},
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "quick": quick,
        "failed": failed,
        "benchmarks": {name: [line.as_json() for line in said] for name, said in found.items()},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *words]
    said = subprocess.run(command, capture_output=True, text=True)
    return said.stdout.strip() if said.returncode == 0 else None


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
