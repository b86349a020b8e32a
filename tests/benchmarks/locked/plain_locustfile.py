"""Users of the one query, as Locust's documentation writes them; writes what Locust reports to STATS_FILE."""

import json
import os
from pathlib import Path
from typing import Any

from locust import HttpUser, constant_pacing, events, task
from locust.env import Environment


class Reader(HttpUser):
    """Ten times a second, when nothing is in its way."""

    wait_time = constant_pacing(0.1)

    @task
    def read(self) -> None:
        """The one query."""
        self.client.get("/item")


def tell(environment: Environment, **_: Any) -> None:
    """Locust's own statistics, in seconds."""
    total = environment.stats.total
    slow = sum(count for ms, count in total.response_times.items() if ms > 1000)
    said = {
        "p95": total.get_response_time_percentile(0.95) / 1000,
        "p99": total.get_response_time_percentile(0.99) / 1000,
        "slow": slow / total.num_requests,
        "requests": total.num_requests,
    }
    Path(os.environ["STATS_FILE"]).write_text(json.dumps(said))


events.quitting.add_listener(tell)
