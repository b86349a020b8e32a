"""Which cases run on which version, the databases they run on, and the accuracy table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from harness.db.server import EmbeddedServer
from tests.catalogue.cases import CASES, Case
from tests.catalogue.migrating import Upgrade
from tests.fix_postgres import Servers

TEMPLATE = "catalogue"

LOAD_SHARE = 8
"""Without --postgres, one case in so many is put under load."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every case on the versions of `--postgres`; without it a part of them on 18 and 15."""
    if "case" not in metafunc.fixturenames:
        return
    chosen: tuple[str, ...] | None = metafunc.config.getoption("--postgres")
    loaded = metafunc.module.__name__.endswith("under_load")
    metafunc.parametrize(
        ("major", "case"),
        [
            pytest.param(major, case, id=f"{major}-{case}")
            for major in chosen or ("18", "15")
            for number, case in enumerate(CASES)
            if case.since <= int(major) and (chosen or _in_a_short_run(number, major, loaded))
        ],
    )


def _in_a_short_run(number: int, major: str, loaded: bool) -> bool:
    """All cases without load on 18, a quarter of them on 15; under load a few, on 18."""
    if loaded:
        return major == "18" and number % LOAD_SHARE == 0
    return major == "18" or number % 4 == 1


@pytest.fixture(scope="session")
def templated(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], EmbeddedServer]:
    """A server of a major version with the catalogue's schema as a database to copy."""
    filled: set[str] = set()

    def server(major: str) -> EmbeddedServer:
        found = servers(major)
        if major not in filled:
            database = found.create_database(TEMPLATE)
            assert Upgrade(database, "schema", tmp_path_factory.mktemp(TEMPLATE)).run() == "ok"
            filled.add(major)
        return found

    return server


@pytest.fixture
def server(templated: Callable[[str], EmbeddedServer], major: str) -> EmbeddedServer:
    """The server of the case's version."""
    return templated(major)


@pytest.fixture
def copy(server: EmbeddedServer) -> Iterator[str]:
    """The URL of a fresh copy of the catalogue's schema."""
    name = f"{TEMPLATE}_{uuid4().hex[:12]}"
    yield server.create_database(name, template=TEMPLATE)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(autouse=True)
def _form(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """What the accuracy table is counted by; it goes with the test's report."""
    if "case" in request.fixturenames:
        case: Case = request.getfixturevalue("case")
        record_property("catalogue", (request.getfixturevalue("major"), case.good))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many bad forms were flagged, and how many good ones were clean, without load and under it."""
    cases, right = Counter[tuple[str, str, bool]](), Counter[tuple[str, str, bool]]()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            told = dict(report.user_properties).get("catalogue")
            if told is not None and report.when == "call":
                key = ("under load" if "under_load" in report.nodeid else "alone", *told)
                cases[key] += 1
                right[key] += outcome == "passed"
    if cases:
        terminalreporter.section("catalogue of known answers")
        terminalreporter.write_line(f"{'':24}{'bad flagged':>16}{'good clean':>16}")
    for where, major in sorted({key[:2] for key in cases}):
        shares = [f"{right[where, major, good]}/{cases[where, major, good]}" for good in (False, True)]
        terminalreporter.write_line(f"PostgreSQL {major} {where:11}{shares[0]:>15}{shares[1]:>16}")
