"""Users against the reference service in a real Locust, and their client against servers that misbehave."""

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from locust.event import EventHook

from harness.core.client_limits import Use
from harness.core.clock_offset import offset_between
from harness.core.operations import OperationOutcome
from harness.core.traceparent import parse, worker_crc
from harness.db.server import EmbeddedServer
from harness.load.client import MeasuredSession, failure_cause, operation_outcome
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from tests.fix_run import without_test_settings
from tests.fix_target import Service, running_service, seed
from tests.fix_wire import server

pytestmark = pytest.mark.integration

LOCUSTFILE = Path(__file__).parent / "users_locustfile.py"
ENDPOINTS = (
    "POST /token",
    "POST /token/refresh",
    "GET /documents",
    "GET /documents/{id}",
    "POST /documents",
    "PUT /documents/{id}",
    "DELETE /documents/{id}",
    "GET /wallets",
    "POST /transfers",
)
USERS = 6
KEEP_QUERIES = """
    CREATE TABLE queries (query text);
    CREATE FUNCTION keep_query() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO queries VALUES (current_query()); RETURN NULL; END $$;
    CREATE TRIGGER keep_query AFTER INSERT ON documents EXECUTE FUNCTION keep_query();
"""


@pytest.fixture(scope="module")
def short_lived(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose tokens live 3 s, over as many accounts as there are users."""
    database_url = postgres.create_database("users")
    seed(database_url, rows=300, accounts=USERS)
    with psycopg.connect(database_url) as connection:
        connection.execute(KEEP_QUERIES)
    log = tmp_path_factory.mktemp("users") / "service.log"
    with running_service(database_url, log, ACCESS_TTL_S="3") as service:
        yield service


@pytest.fixture(scope="module")
def record(short_lived: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What some seconds of Locust recorded."""
    file = tmp_path_factory.mktemp("users") / "record.json"
    environment = without_test_settings()
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
    done = subprocess.run(
        [*command, "-u", str(USERS), "-r", str(USERS), "--host", short_lived.anonymous.base],
        env={**environment, "USERS_RECORD": str(file), "USERS_ENDPOINTS": json.dumps(ENDPOINTS)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert file.is_file(), done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_every_request_is_answered_as_expected(record: dict[str, Any]) -> None:
    assert [sample for sample in record["samples"] if sample[1] != "OK"] == []
    assert {sample[0] for sample in record["samples"]} == set(ENDPOINTS)


def test_a_query_in_the_database_names_the_sample_of_its_request(
    short_lived: Service, record: dict[str, Any]
) -> None:
    with psycopg.connect(short_lived.database_url) as connection:
        ties = [parse(query) for (query,) in connection.execute("SELECT query FROM queries")]
    assert {tie and tie.worker_crc for tie in ties} == {worker_crc("w")}
    assert {tie and tie.user for tie in ties} <= set(range(1, USERS + 1))
    created = [sample[3] for sample in record["samples"] if sample[0] == "POST /documents"]
    assert created
    assert sorted(tie.tick for tie in ties if tie) == sorted(created)


def test_each_user_has_an_account_of_its_own_and_refreshes_its_token(record: dict[str, Any]) -> None:
    endpoints = Counter(sample[0] for sample in record["samples"])
    assert endpoints["POST /token"] == USERS
    assert endpoints["POST /token/refresh"] >= USERS
    assert {read[0] for read in record["reads"]} == {f"account-{number:04}" for number in range(1, USERS + 1)}


def test_what_each_account_logged_in_for_is_used_once_apart_from_the_load(record: dict[str, Any]) -> None:
    probes = [line for file, line in record["lines"] if file == "probes.ndjson"]
    for kind in ("fresh_login", "first_use"):
        said = {line["account"]: line["outcome"] for line in probes if line.get("probe") == kind}
        assert list(said.values()) == ["worked"] * USERS


def test_final_read_finds_exactly_what_the_ledger_says(record: dict[str, Any]) -> None:
    expected: dict[str, dict[str, list[int]]] = {account: {} for account, *_ in record["reads"]}
    for account, key, kind, version, outcome in record["operations"]:
        if outcome != "OK" or kind in ("TRANSFER", "READ"):
            continue
        if kind == "DELETE":
            del expected[account][key]
        else:
            expected[account][key] = [version, version]
    assert [read[1] for read in record["reads"]] == [None] * USERS
    assert {read[0]: read[2] for read in record["reads"]} == expected
    assert any(expected.values())


def test_reads_show_what_was_written_before_and_totals_stay(record: dict[str, Any]) -> None:
    newest: dict[str, int] = {}
    reads = 0
    for _, key, kind, version, outcome in record["operations"]:  # in the order in which they ended
        if kind == "READ":
            reads += 1
            assert version == newest[key]
        elif kind != "TRANSFER" and outcome == "OK":
            newest[key] = version
    assert reads > USERS
    totals = [line for file, line in record["lines"] if file == "totals.ndjson"]
    assert totals
    assert {(line["name"], line["amount"], line["count"]) for line in totals} == {("wallets", "30000", 3)}
    assert [read[3] for read in record["reads"]] == [[["wallets", "30000", 3]]] * USERS


def test_foreign_reads_are_refused_and_own_reads_checked(record: dict[str, Any]) -> None:
    probes = [line for file, line in record["lines"] if file == "probes.ndjson"]
    outcomes = Counter(line["outcome"] for line in probes if line.get("probe"))
    assert outcomes["refused"] > 0
    assert outcomes["leaked"] == 0
    assert sum(line.get("reads_checked", 0) for line in probes) > 0


def test_websockets_deliver_every_write_and_end_with_their_users(record: dict[str, Any]) -> None:
    lines = [line for file, line in record["lines"] if file == "websocket.ndjson"]
    [counts] = [line for line in lines if "delivered" in line]
    writes = [o for o in record["operations"] if o[4] == "OK" and o[2] not in ("TRANSFER", "READ")]
    assert counts["delivered"] == len(writes)
    assert (counts["missed"], counts["duplicated"], counts["reordered"]) == (0, 0, 0)
    assert (counts["connections"], counts["settled"], counts["odd"]) == (0, USERS, {})
    ended = Counter(line["ended"] for line in lines if "ended" in line)
    assert ended.keys() <= {"ended by the load", "closed with 4401"}, "the users' end, or their tokens'"
    assert ended["ended by the load"] <= USERS <= ended["closed with 4401"]
    assert record["nobody_left"]


def test_the_services_clock_is_known_by_the_records_that_were_created(record: dict[str, Any]) -> None:
    [counts] = [line for _, line in record["lines"] if "delivered" in line]
    offset = offset_between([counts["clock"]])
    assert offset is not None
    assert abs(offset.ahead_s) <= offset.error_s + 0.001
    assert all(delay_s + offset.ahead_s + offset.error_s > -0.001 for delay_s in counts["delays_s"])


def hang_up(connection: socket.socket) -> None:
    """Take the request and say nothing."""
    connection.recv(65536)


def fail_then_hang_up(connection: socket.socket) -> None:
    """Answer the first request with 500, and the next one, if it comes on this connection, not at all."""
    if connection.recv(65536):
        connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}")
        connection.recv(65536)


@pytest.fixture
def reopened() -> Iterator[Callable[[], int]]:
    """How many connections had to be opened anew since the test began."""
    recorder.begin("w", RunSettings("run", "canary", 1, 1, None, 0, 1, 1), 0.0)
    yield lambda: recorder.uses["", "", Use.REOPENED]
    recorder.end()


def _session(base: str) -> MeasuredSession:
    return MeasuredSession(base, EventHook())


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_request_on_a_dropped_connection_goes_over_the_wire_once(method: str) -> None:
    with server(hang_up) as (base, connections):
        response = _session(base).request(method, "/documents/7")
    assert len(connections) == 1
    assert failure_cause(response) == "connection closed"
    assert operation_outcome(response) is OperationOutcome.INDETERMINATE


def test_connection_on_which_an_error_came_is_not_used_again(reopened: Callable[[], int]) -> None:
    with server(fail_then_hang_up) as (base, connections):
        session = _session(base)
        causes = [failure_cause(session.request("POST", "/documents")) for _ in range(3)]
        assert causes == ["HTTP 500"] * 3
        assert reopened() == 3
    assert len(connections) == 3


def test_connection_that_the_service_closed_is_opened_anew_and_counted(reopened: Callable[[], int]) -> None:
    closed = threading.Event()

    def answer_once(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        connection.close()
        closed.set()

    with server(answer_once) as (base, connections):
        session = _session(base)
        assert failure_cause(session.request("POST", "/documents")) == ""
        assert closed.wait(timeout=10)
        assert failure_cause(session.request("POST", "/documents")) == ""
        assert reopened() == 1
        session.close()
    assert len(connections) == 2


def test_refused_connection_is_surely_no_write() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    response = _session(base).request("PUT", "/documents/7", json={})
    assert failure_cause(response) == "connection refused"
    assert operation_outcome(response) is OperationOutcome.FAIL


def test_request_that_is_not_answered_in_time_may_have_been_carried_out() -> None:
    over = threading.Event()

    def hang(connection: socket.socket) -> None:
        connection.recv(65536)
        assert over.wait(timeout=10)

    with server(hang) as (base, _):
        session = _session(base)
        session.http.deadline_s = 0.2
        response = session.request("GET", "/documents")
        over.set()
    assert failure_cause(response) == "timed out"
    assert operation_outcome(response) is OperationOutcome.INDETERMINATE
