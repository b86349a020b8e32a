"""Users that ask one question, with no more of the harness around them than records what they do.

ARRIVALS says by which model, RATE how often per second, SECONDS for how long; what was recorded is written as
JSON to the file that RECORD names.
"""

import os
from typing import Any

import gevent
from locust import events, task

from harness.clock import monotonic, wait_until
from harness.load import health as module
from harness.load.arrivals import arrivals
from harness.load.health import Health
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.users import MigrationUser
from harness.load.valve import valve

# isort: split
import json
from pathlib import Path

from harness.core.blocks import BlockStream
from harness.core.samples import Outcome, SampleTable

module.TICK_S = 0.002  # so that little of its own lateness escapes it


class Asker(MigrationUser):
    foreign_read_ratio = 0.0

    @task
    def ask(self) -> None:
        self.client.get("/")


@events.init.add_listener  # type: ignore[untyped-decorator]
def _on_init(runner: Any, **_: Any) -> None:
    valve.install(runner)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _on_start(environment: Any, **_: Any) -> None:
    users, rate = environment.parsed_options.num_users, float(os.environ["RATE"])
    settings = RunSettings(
        *("run", "run", 1, users, rate, 0, 1, users), arrivals=os.environ["ARRIVALS"], max_in_flight=2000
    )
    zero = monotonic()
    recorder.begin("w", settings, zero)
    arrivals.begin(settings, zero)
    health = Health()
    health.start()
    gevent.spawn_later(float(os.environ["SECONDS"]), _finish, environment, zero, health)


def _finish(environment: Any, zero: float, health: Health) -> None:
    valve.close()
    arrivals.close(monotonic())
    wait_until(lambda: not recorder.in_flight and not valve.busy_users(), 10.0, gevent.sleep)
    late_ms: Any = health.take("w", 0, 0)["late_ms"]
    counts, sessions = arrivals.counts(), len(valve.sessions)
    arrivals.end()
    environment.runner.stop()
    blocks = [block for of, block in recorder.take(monotonic()).blocks if of == "samples"]
    samples = SampleTable.join({}, [BlockStream.join("w", blocks)])
    asked = [
        [round(at + zero, 6), latency]
        for at, latency, outcome in zip(samples.at, samples.latency, samples.outcome, strict=True)
        if outcome == Outcome.OK
    ]
    record = {
        "samples": asked,
        "others": len(samples) - len(asked),
        "counts": counts,
        "sessions": sessions,
        "left": len([greenlet for greenlet in valve.sessions if not greenlet.dead]),
        "late_s": max(late_ms) / 1000,
    }
    Path(os.environ["RECORD"]).write_text(json.dumps(record))
    environment.runner.quit()
