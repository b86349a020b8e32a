"""A process under the tracer, and the trace that it left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.core.trace import Statement, Trace, parse
from harness.core.trace_fold import build
from harness.db.migration import TRACER
from harness.environ import child_environment


def traced(folder: Path, script: str, database: str) -> Trace:
    """Run a script under the tracer; it must succeed and say nothing on stderr."""
    file = folder / "trace"
    environment = child_environment(
        {
            "PYTHONPATH": str(TRACER),
            "MUL_TRACE_FILE": str(file),
            "MUL_DEFAULT_OPTIONS": '{"lock_timeout": "4s"}',
        }
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, database],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    records, unreadable = parse(file.read_text().splitlines())
    assert [record for record in records if record["kind"] == "hookfail"] == []
    return build(records, unreadable=unreadable)


def statements(trace: Trace, start: str) -> list[Statement]:
    return [found for found in trace.statements if found.sql.startswith(start)]
