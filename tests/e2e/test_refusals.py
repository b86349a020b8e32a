"""Bad input: one line that names the mistake and the remedy, before any load, and nothing is touched."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fix_run import Runs

pytestmark = [pytest.mark.e2e]

MIGRATIONS = Path(__file__).parent.parent / "migrations"
SECRET = "hunter2-planted"


@dataclass(frozen=True)
class Refusal:
    name: str
    arguments: tuple[str, ...]
    code: int
    words: tuple[str, ...]
    database_url: str | None = None


OWN = ("--host", "http://127.0.0.1:9", "--alembic-config", str(MIGRATIONS / "safe" / "alembic.ini"))

REFUSALS = [
    Refusal("no ini", ("--alembic-config", "nowhere.ini"), 2, ("nowhere.ini",)),
    Refusal("unknown revision", ("--upgrade", "safe@haed"), 2, ("safe@haed",)),
    Refusal("two heads", ("--upgrade", "head"), 2, ("safe", "unsafe")),
    Refusal("gate with a typo", ("--gate", "p59{phase=migrate} < 1s"), 2, ("p59", "p95")),
    Refusal("unknown gate", ("--no-gate", "latncy"), 2, ("latncy", "latency")),
    Refusal("abbreviated flag", ("--upgr", "head"), 2, ("--upgr",)),
    Refusal("short baseline", ("--baseline-time", "1s"), 2, ("--baseline-time", "5 seconds")),
    Refusal("no duration", ("--recover-time", "soon"), 2, ("soon", "30s")),
    Refusal("contradiction", ("--placebo", "--downgrade", "v1"), 2, ("--placebo", "--downgrade")),
    Refusal("run time", ("--run-time", "10s"), 2, ("--run-time",)),
    Refusal("required but not to be judged", ("--placebo", "--require", "migration"), 2, ("migration",)),
    Refusal("a host without migrations", ("--host", "http://127.0.0.1:9"), 2, ("--alembic-config",)),
    Refusal("a slow ramp-up", ("--users", "500", "--spawn-rate", "1"), 2, ("--warmup-time", "--spawn-rate")),
    Refusal("a timeout PostgreSQL does not take", ("--lock-timeout", "soon"), 2, ("--lock-timeout", "500ms")),
    Refusal("not PostgreSQL", OWN, 2, ("mysql",), f"mysql://u:{SECRET}@127.0.0.1/shop"),
    Refusal(
        "workers that look elsewhere",
        ("--processes", "2", "--master-bind-port", "5591"),
        2,
        ("--master-port 5591", "--processes"),
    ),
    Refusal(
        "password on the command line",
        ("--database-url", f"postgresql://u:{SECRET}@127.0.0.1/s"),
        2,
        ("MUL_DATABASE_URL",),
    ),
    Refusal(
        "hidden host",
        OWN,
        3,
        ("prod.example", "--allow-host"),
        f"postgresql://u:{SECRET}@localhost/db?host=prod.example",
    ),
    Refusal(
        "foreign host",
        ("--host", "http://203.0.113.7", *OWN[2:]),
        3,
        ("203.0.113.7", "--allow-host"),
        "postgresql://127.0.0.1/db",
    ),
    Refusal(
        "database not ours", OWN, 3, ("shop", "--allow-database"), f"postgresql://u:{SECRET}@127.0.0.1/shop"
    ),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_it_is_refused_in_one_line(refusal: Refusal, runs: Runs) -> None:
    environment = {"MUL_DATABASE_URL": refusal.database_url} if refusal.database_url else {}
    run = runs(*refusal.arguments, environment=environment)
    assert run.process.returncode == refusal.code, run.output
    assert "Traceback" not in run.output
    assert "alembic.runtime" not in run.output
    assert SECRET not in run.output
    for word in refusal.words:
        assert word in run.output
    assert not list(run.root.glob("*/events.ndjson"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is held but not listened on, so that nothing answers there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def service() -> Iterator[str]:
    """Something that answers HTTP, whatever it is asked."""
    handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {"do_GET": lambda r: r.send_error(404)})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are accepted, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("port", "says"), [("closed_port", "nobody listens there"), ("silent_port", "did not answer within 5 s")]
)
def test_a_database_that_does_not_answer_is_named(
    runs: Runs, service: str, port: str, says: str, request: pytest.FixtureRequest
) -> None:
    number = request.getfixturevalue(port)
    url = f"postgresql://u:{SECRET}@127.0.0.1:{number}/shop"
    run = runs(*OWN[2:], "--host", service, "--allow-database", "shop", environment={"MUL_DATABASE_URL": url})
    assert run.process.returncode == 2, run.output
    assert f"127.0.0.1 (port {number})" in run.output
    assert says in run.output
    assert SECRET not in run.output
    assert "Traceback" not in run.output


def test_a_service_that_does_not_answer_is_named(runs: Runs, closed_port: int) -> None:
    host = f"http://127.0.0.1:{closed_port}"
    run = runs("--host", host, "--placebo")
    assert run.process.returncode == 2, run.output
    assert f"Nothing answers at {host}" in run.output


def test_a_prepare_command_that_cannot_be_run_is_named(runs: Runs, service: str) -> None:
    run = runs("--host", service, "--placebo", "--prepare", "./no-such-script up")
    assert run.process.returncode == 2, run.output
    assert "./no-such-script cannot be run" in run.output


def test_a_secret_in_the_prepare_command_is_refused_unseen(runs: Runs, service: str) -> None:
    run = runs("--host", service, "--placebo", "--prepare", f"./no-such-script PGPASSWORD={SECRET}")
    assert run.process.returncode == 2, run.output
    assert "--prepare holds a secret" in run.output
    assert SECRET not in run.output


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            ["account-0001", "account-0002", "account-0001"],
            "line 4: account-0001 is there already",
        ),
        (["account-0001", "account-0002"], "--users is 30, but"),
        ([f"account-{number:04}" for number in range(1, 31)], "account-0001 could not log in: HTTP 401"),
    ],
    ids=["duplicates", "too few", "wrong password"],
)
def test_wrong_accounts_are_refused_before_the_load(runs: Runs, lines: list[str], says: str) -> None:
    file = runs.root / "accounts.csv"
    file.write_text("username,password\n" + "".join(f"{name},{SECRET}\n" for name in lines))
    run = runs("--accounts", str(file), "--rows", "1000")
    assert run.process.returncode == 2, run.output
    assert says in run.output
    assert SECRET not in run.output
    assert "Traceback" not in run.output
    assert not list(run.root.glob("*/events.ndjson"))


def test_a_dry_run_prints_the_plan_and_touches_nothing(runs: Runs) -> None:
    run = runs("--dry-run", "--users", "7")
    assert run.process.returncode == 0, run.output
    assert '"users": 7' in run.output
    assert list(run.root.iterdir()) == []


def test_nothing_to_migrate_is_inconclusive_with_the_remedy(runs: Runs) -> None:
    run = runs("--upgrade", "v1", "--rows", "1000")
    assert run.process.returncode == 4, run.output
    assert "--prepare" in run.output
    assert run.verdict["status"] == "inconclusive"
