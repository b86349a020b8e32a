"""MigrationUser at work in a real Locust, with no more of the harness around it than records what it does.

Runs for six seconds, and on a busy machine until each of USERS_ENDPOINTS (JSON) was asked; writes what was
recorded as JSON to the file that USERS_RECORD names.
"""

import os
import uuid
from typing import Any

import gevent
from locust import events, task

from harness.clock import monotonic, wait_until
from harness.core.blocks import BlockStream
from harness.core.bodies import canary, new_id
from harness.core.operations import OperationKind, OperationTable
from harness.core.samples import TICK_S, Outcome, SampleTable
from harness.core.stream import Stream
from harness.load import subscription, users
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.resource import Resource
from harness.load.token_auth import PasswordGrant
from harness.load.totals import Totals
from harness.load.users import MigrationUser
from harness.load.valve import valve

# isort: split
import json
from pathlib import Path

RUN = "run-of-the-test"


PEOPLE: list[MigrationUser] = []


class Person(MigrationUser):
    auth = PasswordGrant("/token", refresh="/token/refresh", scope="read write")
    stream = Stream("/ws", record="document", ends_with_token=True)
    foreign_read_ratio = 0.2
    wallets = Totals("/wallets", amount="balance")
    documents = Resource(
        "/documents",
        create={"id": new_id, "title": canary, "body": canary("more")},
        version="version",
        page="limit/after",
    )

    def on_start(self) -> None:
        PEOPLE.append(self)
        super().on_start()

    @task(4)
    def look(self) -> None:
        self.documents.list()

    @task(4)
    def view(self) -> None:
        self.documents.read()

    @task(4)
    def make(self) -> None:
        self.documents.create()

    @task(4)
    def change(self) -> None:
        self.documents.update()

    @task(2)
    def remove(self) -> None:
        self.documents.delete()

    @task(2)
    def pay(self) -> None:
        wallets = [wallet["id"] for wallet in self.wallets.records]
        if not wallets or self.random.random() < 0.5:
            self.wallets.read()
            return
        key = uuid.uuid4()
        source, target = self.random.sample(wallets, 2)
        order = {"id": str(key), "from": source, "to": target, "amount": 1}
        self.write(OperationKind.TRANSFER, key, 0, "POST", "/transfers", expect={201, 409}, json=order)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _on_init(runner: Any, **_: Any) -> None:
    valve.install(runner)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _on_start(environment: Any, **_: Any) -> None:
    count = environment.parsed_options.num_users
    recorder.begin("w", RunSettings(RUN, RUN, 1, count, 5.0 * count, 0, 1, count), monotonic())
    gevent.spawn_later(6.0, _finish, environment)


def _finish(environment: Any) -> None:
    wanted = set(json.loads(os.environ["USERS_ENDPOINTS"]))
    seen = environment.stats.entries
    wait_until(lambda: wanted <= {f"{method} {name}" for name, method in seen}, 30.0, gevent.sleep)
    valve.close()
    wait_until(lambda: not recorder.in_flight and not valve.busy_users(), 10.0, gevent.sleep)
    reads = [*subscription._settle_all(), *users._read_everything_back()]
    environment.runner.stop()
    gone = wait_until(lambda: not any(person._aside for person in PEOPLE), 5.0, gevent.sleep)
    batch = recorder.take(monotonic())
    blocks = {name: [block for of, block in batch.blocks if of == name] for name in ("samples", "operations")}
    samples = SampleTable.join({}, [BlockStream.join("w", blocks["samples"])])
    operations = OperationTable.join({}, [BlockStream.join("w", blocks["operations"])])
    record = {
        "samples": [
            [samples.endpoints[endpoint], Outcome(outcome).name, samples.causes[cause], round(at / TICK_S)]
            for endpoint, outcome, cause, at in zip(
                samples.endpoint, samples.outcome, samples.cause, samples.at, strict=True
            )
        ],
        "operations": [[o.account, o.key, o.kind.name, o.version, o.outcome.name] for o in operations],
        "reads": [
            [
                r.account,
                r.error,
                {f.key: [f.version, f.content] for f in r.found},
                [[total.name, total.amount, total.count] for total in r.totals],
            ]
            for r in reads
        ],
        "lines": batch.lines,
        "nobody_left": gone,
    }
    Path(os.environ["USERS_RECORD"]).write_text(json.dumps(record))
    environment.runner.quit()
