"""What recording costs: `python -m tests.benchmarks.recorder`.

Fires Locust's `request` event in turns on a plain Environment and on one with the recorder, in one process,
and compares the CPU time of each turn: as our client does, which tells the recorder of the request when it is
sent and when it is answered, and as Locust's clients do, whose event is all that the recorder learns. The
recorder's share includes packing the records, taking them away and compressing them, once per thousand
requests. It is that of a machine at rest: what a turn with the recorder takes more than the one beside it, in
parts of that one, times the least that Locust alone took in any turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from locust.env import Environment

from harness.clock import monotonic
from harness.core.samples import Outcome
from harness.load.bystanders import Bystanders
from harness.load.messages import RunSettings
from harness.load.recorder import Recorder
from tests.benchmarks.table import Row, program

ROUNDS = 200
REQUESTS = 1_000

OK = Outcome.OK

Turn = Callable[[Environment, Recorder | None], None]
"""The requests of a turn; without a recorder nobody is told but Locust."""


def plain_environment() -> Environment:
    """Locust as it is: its own listener keeps the statistics."""
    environment = Environment(events=None)
    environment.create_local_runner()
    return environment


def of_our_client(environment: Environment, recorder: Recorder | None) -> None:
    bystanders = Bystanders(environment.events.request, recorder.on_request if recorder else nobody)
    for number in range(REQUESTS):
        name, sent, took = f"/documents/{number % 8}", monotonic(), 3e-3 + number % 50 * 1e-3
        if recorder is not None:
            token = recorder.sent(f"GET {name}", sent, sent)
            recorder.answered(token, sent + took, OK)
        bystanders.tell({**fields_of(name, took), "service_time": took * 1e3, "lag": 0.0})


def of_other_clients(environment: Environment, recorder: Recorder | None) -> None:
    fire: Any = environment.events.request.fire
    for number in range(REQUESTS):
        fire(**fields_of(f"/documents/{number % 8}", 3e-3 + number % 50 * 1e-3))


def nobody(**_: object) -> None:
    """Who has been told where there is no recorder."""


def fields_of(name: str, took_s: float) -> dict[str, Any]:
    """What Locust's clients tell of a request."""
    return {
        "request_type": "GET",
        "name": name,
        "response_time": took_s * 1e3,
        "response_length": 512,
        "response": None,
        "context": {},
        "exception": None,
        "start_time": time.time(),
        "url": "http://127.0.0.1/documents",
    }


TURNS: dict[str, tuple[Turn, float]] = {
    "an event of our client": (of_our_client, 1.0),
    "an event of Locust's clients": (of_other_clients, 3.0),
}
"""Each with the microseconds that the recorder may add."""


def cpu_us(turn: Turn, environment: Environment, recorder: Recorder | None) -> float:
    """CPU microseconds that one request costs in this turn."""
    begun = time.process_time()
    turn(environment, recorder)
    if recorder is not None:
        for _, block in recorder.take(monotonic()).blocks:
            block.encode()
    return (time.process_time() - begun) / REQUESTS * 1e6


def rows(quick: bool) -> list[Row]:
    """What each event costs without and with a recorder, and what the recorder adds."""
    recorder = Recorder()
    recorder.begin("local", RunSettings("run", "canary", 1, 1, None, 0, 1, 1), monotonic())
    plain, recorded = plain_environment(), plain_environment()
    recorded.events.request.add_listener(recorder.on_request)
    made = []
    for work, (turn, limit) in TURNS.items():
        pairs = [
            (cpu_us(turn, plain, None), cpu_us(turn, recorded, recorder))
            for _ in range(1 if quick else ROUNDS)
        ]
        without, together = zip(*pairs, strict=True)
        least = min(without)
        extra = tuple((second / first - 1) * least for first, second in pairs)
        made += [
            Row(work, "Locust alone", "µs CPU", without),
            Row(work, "with the recorder", "µs CPU", together, "Locust alone"),
            Row(work, "the recorder's share", "µs CPU", extra, "Locust alone", (None, limit)),
        ]
    return made


if __name__ == "__main__":
    raise SystemExit(program(rows))
