"""A plain locustfile with one more line tells a harmless migration from a blocking one.

The reference service is driven as somebody's own. Each migration ten times, five with each of Locust's HTTP
clients, and the tally printed: `pytest -n0 -m slow tests/e2e/test_plain_locustfile.py -s`.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from harness.clock import utc_now
from harness.core.plan import Plan
from harness.run.services import REFERENCE_ALEMBIC, Services, start_demo
from harness.store import RunDirectory
from tests.fix_run import UNTIMED, Run, Runs

pytestmark = [pytest.mark.e2e, pytest.mark.migration]

TIMES = ("--warmup-time", "2s", "--baseline-time", "5s", "--recover-time", "5s")

PLAIN = """
    import random

    from locust import {client}, constant_pacing, events, task

    class Reader({client}):
        wait_time = constant_pacing(0.4)

        def on_start(self):
            name = f"account-{{random.randint(1, 900):04}}"
            form = {{"grant_type": "password", "username": name, "password": "correct horse battery staple"}}
            token = self.client.post("/token", data=form).json()["access_token"]
            self.headers = {{"Authorization": f"Bearer {{token}}"}}

        @task(3)
        def documents(self):
            self.client.get("/documents?limit=20", name="/documents", headers=self.headers)

        @task
        def wallets(self):
            self.client.get("/wallets", headers=self.headers)

    @events.quitting.add_listener
    def by_their_own_rule(environment, **_):
        environment.process_exit_code = 9

    import harness.locust
"""

HARMLESS, BLOCKING = ("safe@head", 2_000), ("unsafe@head", 150_000)
"""What is migrated, and with how many rows: the second rewrites them all under a lock."""

OwnService = Callable[[int], Services]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnService]:
    """Starts the reference service with so many rows, as somebody else would; one at a time."""
    with ExitStack() as started:

        def start(rows: int) -> Services:
            started.close()
            plan = Plan(rows=rows, run_root=str(tmp_path / "own"))
            directory = RunDirectory.create(plan, utc_now())
            started.callback(directory.close)
            services = start_demo(plan, directory)
            started.callback(services.stop)
            return services

        yield start


def migrated(runs: Runs, own: OwnService, client: str, target: str, rows: int, *flags: str) -> Run:
    """A run of a plain locustfile against somebody's service."""
    services = own(rows)
    assert services.database_url is not None
    locustfile = runs.root / "plain.py"
    locustfile.write_text(textwrap.dedent(PLAIN.format(client=client)))
    return runs(
        *("--host", services.host, "--alembic-config", str(REFERENCE_ALEMBIC), "--upgrade", target),
        *("--allow-database", "shop", *TIMES, *flags),
        locustfile=locustfile,
        environment={"MUL_DATABASE_URL": services.database_url, **services.environment},
    )


@pytest.mark.timeout(180)
def test_a_harmless_migration_ends_with_0(runs: Runs, own: OwnService) -> None:
    run = migrated(runs, own, "HttpUser", *HARMLESS, *UNTIMED)
    assert run.process.returncode == 0, run.output
    verdict = run.verdict
    assert verdict["load"]["target_rate"] is None
    assert {gate["status"] for gate in verdict["gates"]} == {"pass", "not_applicable"}
    limits = "\n".join(verdict["limits"])
    for sentence in (
        "Latency of Reader counts from the send",
        "Reader (HttpUser) sent",
        "A target rate is not",
    ):
        assert limits.count(sentence) == 1, limits
    assert "FastHttpUser" not in limits


@pytest.mark.timeout(180)
def test_a_blocking_migration_ends_with_1(runs: Runs, own: OwnService) -> None:
    run = migrated(runs, own, "FastHttpUser", *BLOCKING)
    assert run.process.returncode == 1, run.output
    assert run.gate("stall")["status"] == "fail"
    assert run.gate("stall")["observed"] > 1.0
    assert run.gate("migration")["status"] == "pass"
    assert "Reader (FastHttpUser) sends GET" in "\n".join(run.verdict["limits"])


@pytest.mark.quiet
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_of_ten_of_each_migration(runs: Runs, own: OwnService) -> None:
    tally: Counter[tuple[str, str, int]] = Counter()
    for (target, rows), client in product((HARMLESS, BLOCKING), ("HttpUser", "FastHttpUser")):
        for _ in range(5):
            run = migrated(runs, own, client, target, rows)
            tally[target, client, run.process.returncode] += 1
            undecided = {gate["name"] for gate in run.verdict["gates"] if gate["status"] == "inconclusive"}
            red = {gate["name"] for gate in run.verdict["gates"] if gate["status"] == "fail"}
            print(f"{target} {client}: red {sorted(red)}, undecided {sorted(undecided)}")  # noqa: T201
    for (target, client, code), count in sorted(tally.items()):
        print(f"{target:<12} {client:<13} exit code {code}: {count}")  # noqa: T201
    assert {(target, code) for target, _, code in tally} == {(HARMLESS[0], 0), (BLOCKING[0], 1)}
