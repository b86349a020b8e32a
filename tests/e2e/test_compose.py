"""The whole stack of compose/compose.yaml, by README's own commands."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from urllib.request import urlopen

import pytest
import requests

from harness.clock import wait_until
from tests.containers import stand_ins
from tests.containers.images import BUILT, Index
from tests.fix_compose import (
    CALLER,
    DOWN,
    DOWN_APART,
    RUN,
    RUN_APART,
    RUN_WITH_REPLICA,
    UP,
    UP_WITH_BOTH,
    WITH_WEB_PAGE,
    Stack,
)
from tests.fix_run import BRIEF, ROOT, UNTIMED, error_ratios

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(600)]

FLAGS = (*BRIEF, *UNTIMED)
MOST_MB = 250
BASE_MB = 50
"""What the official python:3.13-alpine has, rounded up; a stand-in may have more."""


def answer(url: str) -> Any:
    with urlopen(url, timeout=5) as said:
        return json.load(said)


def verdict(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((stack.runs / "latest" / "verdict.json").read_text())
    return found


def test_readme_has_the_commands_that_are_run_here() -> None:
    section = (ROOT / "README.md").read_text().split("<!-- compose:")[1].split("\n## ")[0]
    shown = re.findall(r"^docker compose .*$", section, re.MULTILINE)
    of_runs = [UP, RUN, f"{RUN} --upgrade unsafe@head", WITH_WEB_PAGE]
    assert shown == [*of_runs, UP_WITH_BOTH, RUN_WITH_REPLICA, DOWN, RUN_APART, DOWN_APART]


def test_the_stack_is_up_and_both_instances_answer(
    stack: Stack, engine: Any, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record_property("up_s", round(stack.up_s, 1))
    with capsys.disabled():
        sys.stdout.write(f"\nThe whole stack was up and healthy after {stack.up_s:.1f} s.\n")
    assert answer(f"http://127.0.0.1:{stack.port}/health")["notifications"] == "cache"
    proxy = next(one for one in stack.containers(engine) if "proxy" in one.name)
    assert wait_until(lambda: proxy.logs().count(b"is UP/READY") >= 2, 20)


def test_no_request_is_lost_when_an_instance_is_stopped_and_started(stack: Stack, engine: Any) -> None:
    instance = next(one for one in stack.containers(engine) if "-api-" in one.name)
    over, answered, failed = Event(), Counter[int](), list[str]()

    def ask() -> None:
        with requests.Session() as client:
            while not over.wait(0.02):
                try:
                    answered[client.get(f"http://127.0.0.1:{stack.port}/health", timeout=10).status_code] += 1
                except requests.RequestException as error:
                    failed.append(repr(error))

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask) for _ in range(8)]
        try:
            assert wait_until(lambda: answered[200] > 100, 20)
            instance.stop()
            seen = answered[200]
            assert wait_until(lambda: answered[200] > seen + 100, 20)
            instance.start()
        finally:
            over.set()
    assert [one.exception() for one in asking] == [None] * 8
    assert (list(answered), failed) == ([200], [])
    assert instance.attrs["State"]["ExitCode"] == 0


def test_no_container_has_rights_that_it_does_not_need(stack: Stack, engine: Any) -> None:
    running = [one for one in stack.containers(engine) if one.status == "running"]
    services = {one.labels["com.docker.compose.service"] for one in running}
    assert services >= {"postgres", "valkey", "api", "proxy"}
    for container in running:
        host = container.attrs["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
        users = {process[0] for process in container.top(ps_args="-eo uid,pid,cmd")["Processes"]}
        assert users
        assert "0" not in users
        assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0
        for published in filter(None, container.ports.values()):
            assert {each["HostIp"] for each in published} == {"127.0.0.1"}


def test_the_secrets_are_in_files_alone(stack: Stack, engine: Any) -> None:
    containers = stack.containers(engine)
    api = next(one for one in containers if "-api-" in one.name)
    shown = json.dumps([one.attrs for one in containers]) + str([one.logs() for one in containers])
    for kind in ("database", "cache"):
        password = api.exec_run(["cat", f"/run/secrets/{kind}_password"]).output.decode()
        assert len(password) > 20
        assert password not in shown


def test_the_index_that_packages_came_from_is_no_part_of_an_image(
    engine: Any, package_index: Index | None
) -> None:
    for target in BUILT:
        image = engine.images.get(f"migrate-under-load/{target}")
        shown = json.dumps([image.attrs, image.history()])
        said = engine.containers.run(image.id, ["sh", "-c", "cat /etc/pip.conf || echo none"], remove=True)
        assert said == b"none\n"
        assert package_index is None or package_index.password not in shown


def test_the_harness_image_is_small_enough(stack: Stack, engine: Any) -> None:
    size = engine.images.get("migrate-under-load/harness").attrs["Size"]
    base = engine.images.get(stand_ins.python(engine)).attrs["Size"]
    assert (size - base) / 1e6 + BASE_MB < MOST_MB


@pytest.mark.migration
def test_a_run_beside_the_stack_has_the_verdict_as_its_exit_code_and_its_directory_here(stack: Stack) -> None:
    safe = stack(RUN, *FLAGS)
    assert safe.returncode == 0, safe.stdout[-3000:] + safe.stderr[-500:]
    found = verdict(stack)
    assert (found["status"], found["migration"]["to"]) == ("pass", "safe6")
    assert error_ratios(found) == {0.0}
    assert not [limit for limit in found["limits"] if "log" in str(limit)]
    for path in (stack.runs / "latest").resolve().rglob("*"):
        assert (path.stat().st_uid, path.stat().st_gid) == CALLER

    unsafe = stack(f"{RUN} --upgrade unsafe@head", *FLAGS, "--gate", "lock_wait_max{phase=migrate} < 1ms")
    assert unsafe.returncode == 1, unsafe.stdout[-3000:] + unsafe.stderr[-500:]
    found = verdict(stack)
    assert (found["status"], found["migration"]["from"]) == ("fail", "v1")
    assert found["ledger"]["lost"] == found["ledger"]["stale"] == 0


@pytest.mark.migration
def test_two_services_are_migrated_in_one_run(stack_apart: Stack) -> None:
    run = stack_apart(RUN_APART, *FLAGS)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    found = verdict(stack_apart)
    assert [(one["name"], one["to"]) for one in found["migrations"]] == [("auth", "auth2"), ("api", "api2")]
    assert found["ledger"]["acknowledged"] > 0
    assert error_ratios(found) == {0.0}
    assert answer(f"http://127.0.0.1:{stack_apart.port}/health")["role"] == "api"


def test_the_web_page_has_its_workers(stack: Stack) -> None:
    up = stack(WITH_WEB_PAGE)
    assert up.returncode == 0, up.stderr[-2000:]
    page = f"http://127.0.0.1:{stack.web_port}"
    assert wait_until(lambda: len(answer(f"{page}/stats/requests")["workers"]) == 2, 30)
    with urlopen(f"{page}/migration", timeout=5) as shown:
        assert b"Migration" in shown.read()


@pytest.mark.migration
def test_a_run_through_the_pooler_beside_a_replica(stack: Stack, engine: Any) -> None:
    up = stack(UP_WITH_BOTH, MUL_POOLED="1")
    assert up.returncode == 0, up.stderr[-2000:]
    pooled = stack(RUN_WITH_REPLICA, *FLAGS, "--require", "replica_lag", MUL_POOLED="1")
    assert pooled.returncode == 0, pooled.stdout[-3000:] + pooled.stderr[-500:]

    found = verdict(stack)
    assert error_ratios(found) == {0.0}
    gates = [gate for gate in found["gates"] if gate["name"] == "replica_lag"]
    assert {gate["status"] for gate in gates} == {"pass"}
    assert {replica["source"] for replica in found["replicas"]} == {"primary", "replica"}
    assert not any("pooler" in str(limit) for limit in found["limits"])  # migration and observer go past it
    pgbouncer = next(one for one in stack.containers(engine) if "-pgbouncer-" in one.name)
    assert b"login attempt: db=shop user=postgres" in pgbouncer.logs()
    assert stack(UP).returncode == 0
