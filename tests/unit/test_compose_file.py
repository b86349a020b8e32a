"""compose/compose.yaml: what holds for every service in it, and that it is of one mind with the rest."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.backend import CACHE_IMAGE
from harness.db.local_server import SETTINGS

COMPOSE = Path(__file__).parents[2] / "compose"
FILE: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
JOBS = {"secrets", "seed", "load"}
"""Services that do one thing and end; their exit code says how it went."""


ADDED = {"pooler", "replica"}
"""Profiles that are given beside `services`."""


def default(text: str) -> str:
    """A value with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.mark.parametrize("name", SERVICES)
class TestEveryService:
    def test_it_changes_nothing_in_its_image_and_gains_no_rights(self, name: str) -> None:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)

    def test_its_user_is_not_root(self, name: str) -> None:
        user, group = default(SERVICES[name]["user"]).split(":")
        assert int(user) > 0
        assert int(group) > 0

    def test_its_share_of_the_machine_is_bounded(self, name: str) -> None:
        limits = SERVICES[name]["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}
        assert float(default(limits["cpus"])) <= 1  # more than a small machine has is refused

    def test_it_is_reached_from_this_machine_alone(self, name: str) -> None:
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
        assert SERVICES[name].get("network_mode") in (None, "none")

    def test_it_says_whether_it_is_well_unless_it_is_a_job(self, name: str) -> None:
        assert ("healthcheck" in SERVICES[name]) == (name not in JOBS)

    def test_it_waits_for_what_it_needs(self, name: str) -> None:
        for needed, how in SERVICES[name].get("depends_on", {}).items():
            done = "service_completed_successfully" if needed in JOBS else "service_healthy"
            assert how["condition"] == done
            assert how.get("required", True) == (needed != "pgbouncer")

    def test_its_version_is_a_variable(self, name: str) -> None:
        assert re.fullmatch(r"[a-z/-]+:\$\{\w+:-[\w.-]+\}(-alpine)?", SERVICES[name]["image"])

    def test_no_secret_stands_in_its_environment(self, name: str) -> None:
        for variable in SERVICES[name].get("environment", {}):
            if re.search("PASSWORD|SECRET|TOKEN|KEY|URL", variable):
                assert variable.endswith("_FILE")

    def test_its_profiles_start_what_it_depends_on(self, name: str) -> None:
        """`run` is of a service that is run by name, and ADDED to be given beside another profile."""
        for needed, how in SERVICES[name].get("depends_on", {}).items():
            own = set(SERVICES[name]["profiles"]) - {"run", *ADDED}
            assert own <= set(SERVICES[needed]["profiles"]) or not how.get("required", True)


def test_what_is_mounted_is_there_in_a_fresh_clone() -> None:
    mounts = [
        mount for service in SERVICES.values() for mount in service["volumes"] if isinstance(mount, dict)
    ]
    sources = {default(mount["source"]) for mount in mounts if mount["type"] == "bind"}
    own = {"./allow_replication.sh", "./haproxy.cfg", "./harness.toml", "./replica.sh"}
    assert sources == {"../locustfiles", "../runs", *own}
    assert all((COMPOSE / source).exists() for source in sources)


def test_the_database_has_the_settings_of_the_one_that_the_harness_starts() -> None:
    given = [word[2:].split("=", 1) for word in SERVICES["postgres"]["command"][1:]]
    assert SETTINGS.items() <= dict(given).items()


def test_the_cache_is_the_one_that_the_harness_starts() -> None:
    assert default(SERVICES["valkey"]["image"]) == CACHE_IMAGE


def test_the_database_is_on_a_network_without_a_way_out() -> None:
    for name in ("postgres", "valkey", "replica", "pgbouncer"):
        assert SERVICES[name]["networks"] == ["data"]
    assert FILE["networks"]["data"] == {"internal": True}


def test_the_plan_allows_the_hosts_of_the_stack_and_no_other() -> None:
    plan = tomllib.loads((COMPOSE / "harness.toml").read_text(encoding="utf-8"))
    assert set(plan["safety"]["hosts"]) == {"proxy", "postgres", "replica"} <= set(SERVICES)
    assert plan["safety"]["databases"] == [SERVICES["postgres"]["environment"]["POSTGRES_DB"]]


class TestApart:
    """compose/apart.yaml, which is laid over it."""

    FILE: dict[str, Any] = yaml.safe_load((COMPOSE / "apart.yaml").read_text(encoding="utf-8"))

    def test_its_new_services_are_like_those_that_there_are(self) -> None:
        new = {name: service for name, service in self.FILE["services"].items() if name not in SERVICES}
        assert {name: service["extends"]["service"] for name, service in new.items()} == {
            "auth": "api",
            "seed-auth": "seed",
        }

    def test_it_takes_no_protection_away(self) -> None:
        changed = {key for service in self.FILE["services"].values() for key in service}
        assert changed <= {"extends", "environment", "volumes", "depends_on", "deploy"}
        assert all(
            mount["read_only"]
            for service in self.FILE["services"].values()
            for mount in service.get("volumes", [])
        )

    def test_what_it_mounts_is_there_in_a_fresh_clone(self) -> None:
        mounts = [mount for service in self.FILE["services"].values() for mount in service.get("volumes", [])]
        assert {(mount["source"], mount["read_only"]) for mount in mounts} == {
            ("./apart.toml", True),
            ("./auth.sql", True),
        }
        assert all((COMPOSE / mount["source"]).exists() for mount in mounts)

    def test_its_plan_migrates_what_its_database_server_makes(self) -> None:
        plan = tomllib.loads((COMPOSE / "apart.toml").read_text(encoding="utf-8"))
        assert [migration["name"] for migration in plan["migration"]] == ["auth", "api"]
        assert plan["safety"] == {"hosts": ["proxy", "postgres"], "databases": ["shop", "auth"]}
        assert (COMPOSE / "auth.sql").read_text() == "CREATE DATABASE auth;\n"


def test_the_proxy_sends_nothing_again_but_what_could_not_be_sent() -> None:
    settings = [line.split() for line in (COMPOSE / "haproxy.cfg").read_text().splitlines()]
    assert [words for words in settings if words[:1] == ["retry-on"]] == [["retry-on", "conn-failure"]]
