"""From the command to the first request: `python -m tests.benchmarks.startup`.

Plain Locust and a run of the harness start against the same service of one query. The harness looks at the
database and at the migration first, and starts its observer. Beside it the CPU time of what both import, and
of `harness` commands that touch no run.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.clock import wait_until
from tests.benchmarks.locked.service import HERE, Service, harness_run
from tests.benchmarks.table import Row, program

ROUNDS = 5
WITHIN_S = 60.0
PEER = "plain Locust"
PLAIN = ["locust", "-f", str(HERE / "plain_locustfile.py")]
COMMANDS = {
    "import": {
        PEER: ["-c", "import locust"],
        "ours, as a worker": ["-c", "import harness.locust"],
        "ours, to make a run": ["-c", "import harness.locust, harness.composition"],
    },
    "command": {
        PEER: ["-m", "locust", "--version"],
        "harness --version": ["-m", "harness", "--version"],
        "harness explain gates": ["-m", "harness", "explain", "gates"],
    },
}


def cpu_s(command: list[str]) -> float:
    """CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_request_s(service: Service, command: list[str], environment: dict[str, str]) -> float:
    """Seconds from the start of a run to its first answer, after which it is stopped."""
    service.answered()
    begun = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    answered: list[float] = []

    def asked() -> bool:
        answered.extend(service.answered())
        return bool(answered) or process.poll() is not None

    try:
        wait_until(asked, WITHIN_S)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WITHIN_S)
    if not answered:
        raise RuntimeError(f"no request within {WITHIN_S:g} s: {' '.join(command)}")
    return min(answered) - begun


def rows(quick: bool) -> list[Row]:
    """Both runs, then the imports and commands."""
    rounds = 1 if quick else ROUNDS
    # Else our own modules would be compiled each time, and those of installed packages would not.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    found: dict[str, list[float]] = {PEER: [], "ours": []}
    with Service.run() as service:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                command, environment = harness_run(service, Path(folder))
                found["ours"].append(first_request_s(service, [*command, "--placebo"], environment))
            plain = [sys.executable, "-m", *PLAIN, "--headless", "--users", "10", "--host", service.host]
            environment["STATS_FILE"] = "/dev/null"
            found[PEER].append(first_request_s(service, plain, environment))
    made = [Row("to the first answer", name, "s", tuple(took), PEER) for name, took in found.items()]
    for work, commands in COMMANDS.items():
        spent: dict[str, list[float]] = {name: [] for name in commands}
        for name, words in list(commands.items()) * rounds:
            spent[name].append(cpu_s(words))
        made += [Row(work, name, "s CPU", tuple(costs), PEER) for name, costs in spent.items()]
    return made


if __name__ == "__main__":
    raise SystemExit(program(rows))
