"""What recording costs: `python -m tests.benchmarks.recorder`.

Fires Locust's `request` event in turns on a plain Environment and on one with the recorder, in one process,
and compares the CPU time of each turn. The recorder's share includes packing the records, taking them away
and compressing them, once per thousand requests.
"""

from __future__ import annotations

import time
from typing import Any

from locust.env import Environment

from harness.clock import monotonic
from harness.load.messages import RunSettings
from harness.load.recorder import Recorder
from tests.benchmarks.table import Row, program

LIMIT_US = 3.0
ROUNDS = 40
REQUESTS = 5_000
BATCH = 1_000
EVENT = "Locust's request event"


def plain_environment() -> Environment:
    """Locust as it is: its own listener keeps the statistics."""
    environment = Environment(events=None)
    environment.create_local_runner()
    return environment


def cpu_us_per_request(environment: Environment, recorder: Recorder | None) -> float:
    """CPU microseconds that one request costs in this turn."""
    fire: Any = environment.events.request.fire
    begun = time.process_time()
    for number in range(REQUESTS):
        fire(
            request_type="GET",
            name=f"/documents/{number % 8}",
            response_time=3.0 + number % 50,
            response_length=512,
            exception=None,
            start_time=time.time(),
            context={},
            response=None,
            url="http://127.0.0.1/documents",
        )
        if recorder is not None and number % BATCH == 0:
            for _, block in recorder.take(monotonic()).blocks:
                block.encode()
    return (time.process_time() - begun) / REQUESTS * 1e6


def rows(quick: bool) -> list[Row]:
    """What the event costs without and with a recorder, and what the recorder adds."""
    recorder = Recorder()
    recorder.begin("local", RunSettings("run", "canary", 1, 1, None, 0, 1, 1), monotonic())
    plain, recorded = plain_environment(), plain_environment()
    recorded.events.request.add_listener(recorder.on_request)
    rounds = 1 if quick else ROUNDS
    pairs = [(cpu_us_per_request(plain, None), cpu_us_per_request(recorded, recorder)) for _ in range(rounds)]
    without, together = zip(*pairs, strict=True)
    extra = tuple(second - first for first, second in pairs)
    bounds = (None, LIMIT_US)
    return [
        Row(EVENT, "Locust alone", "µs CPU", without),
        Row(EVENT, "with the recorder", "µs CPU", together, "Locust alone"),
        Row(EVENT, "the recorder's share", "µs CPU", extra, "Locust alone", bounds),
    ]


if __name__ == "__main__":
    raise SystemExit(program(rows))
