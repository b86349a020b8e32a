"""Connecting, knowing which database it is, and one run per database."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from harness.db.guard import RunLock, connect, identify, identify_further
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, SetupError, UsageError

pytestmark = pytest.mark.integration


def refused(url: str, timeout_s: int = 5) -> str:
    """What the person is told; it is not chained to psycopg's error, which holds the password."""
    with pytest.raises(SetupError) as told:
        connect(DatabaseUrl.parse(url), "mul-test", connect_timeout_s=timeout_s)
    assert told.value.__context__ is None
    assert "\n" not in str(told.value)
    assert told.value.remedy
    return str(told.value)


@contextmanager
def answering(first_words: bytes | None) -> Iterator[int]:
    """A port that answers every connection with `first_words` and closes; with None it stays silent."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(1024)
                    if first_words is None:
                        over.wait()
                    else:
                        peer.sendall(first_words)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_connection_commits_by_itself_and_bears_the_name(database: str) -> None:
    with connect(DatabaseUrl.parse(database), "mul-test") as connection:
        assert connection.autocommit
        assert connection.execute("SHOW application_name").fetchone() == ("mul-test",)


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        said = refused(f"postgresql://app:s3kr3t@127.0.0.1:{port}/shop")

    assert f"127.0.0.1 (port {port}) does not answer" in said
    assert "s3kr3t" not in said


def test_a_server_that_stays_silent_is_told() -> None:
    with answering(None) as port:
        assert "did not answer within 2 s" in refused(f"postgresql://app@127.0.0.1:{port}/shop", timeout_s=2)


@pytest.mark.parametrize("sslmode", ["prefer", "disable"])
def test_what_is_not_postgresql_is_told(sslmode: str) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        said = refused(f"postgresql://app@127.0.0.1:{port}/shop?sslmode={sslmode}")

    assert f"What answers at 127.0.0.1 (port {port}) is not PostgreSQL" in said


def test_a_peer_that_hangs_up_is_told() -> None:
    with answering(b"") as port:
        assert "closed the connection" in refused(f"postgresql://app@127.0.0.1:{port}/shop?sslmode=disable")


def test_a_wrong_password_is_told_and_not_shown(database: str) -> None:
    password = database.partition("postgres:")[2].partition("@")[0]

    said = refused(database.replace(password, "s3kr3t"))

    assert "refused the password for the user postgres" in said
    assert "s3kr3t" not in said


def test_a_missing_password_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    password = database.partition("postgres:")[2].partition("@")[0]

    assert "PGPASSFILE" in refused(database.replace(f":{password}", ""))


def test_a_missing_database_is_named(postgres: EmbeddedServer) -> None:
    assert "has no database nowhere." in refused(postgres.database_url("nowhere"))


def test_another_refusal_is_told_in_the_servers_words(postgres: EmbeddedServer, database: str) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database.rpartition("/")[2]}" ALLOW_CONNECTIONS false')

    assert "not currently accepting connections" in refused(database)


def test_a_database_is_identified_whatever_name_leads_there(postgres: EmbeddedServer, database: str) -> None:
    with connect(DatabaseUrl.parse(database), "mul-test") as connection:
        one = identify(connection)
    with connect(DatabaseUrl.parse(database.replace("127.0.0.1", "localhost")), "mul-test") as connection:
        same = identify(connection)
    with connect(DatabaseUrl.parse(postgres.url), "mul-test") as connection:
        other = identify(connection)

    assert one == same
    assert one.database == database.rpartition("/")[2]
    assert other.system_identifier == one.system_identifier
    assert other.database_oid != one.database_oid
    assert len(one.system_identifier) >= 19
    assert one.server_version // 10_000 == int(postgres.version.partition(".")[0])


def test_an_ordinary_role_can_identify_the_database(database: str) -> None:
    with (
        connect(DatabaseUrl.parse(database), "mul-test") as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("CREATE ROLE plain")
        connection.execute("SET LOCAL ROLE plain")

        assert identify(connection).database == database.rpartition("/")[2]


def test_a_second_run_is_told_who_holds_the_database(database: str) -> None:
    url = DatabaseUrl.parse(database)
    with RunLock.acquire(url, "20260102-demo-ab12"), pytest.raises(UsageError) as told:
        RunLock.acquire(url, "20260102-demo-cd34")

    name = database.rpartition("/")[2]
    assert f"Another run is using the database {name}: mul-run 20260102-demo-ab12, backend " in str(
        told.value
    )
    assert "from 127.0.0.1, since 20" in str(told.value)


def test_a_released_lock_can_be_taken_again(database: str) -> None:
    url = DatabaseUrl.parse(database)
    lock = RunLock.acquire(url, "first")
    lock.release()
    lock.release()

    with RunLock.acquire(url, "second"):
        pass


def test_two_databases_of_one_server_are_two_locks(postgres: EmbeddedServer, database: str) -> None:
    with (
        RunLock.acquire(DatabaseUrl.parse(database), "one"),
        RunLock.acquire(DatabaseUrl.parse(postgres.url), "two"),
    ):
        pass


def test_a_lock_whose_server_died_is_released_quietly(database: str, postgres: EmbeddedServer) -> None:
    lock = RunLock.acquire(DatabaseUrl.parse(database), "cut off")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'mul-run cut off'"
        )

    lock.release()


def test_further_databases_are_those_of_the_same_server(postgres: EmbeddedServer, database: str) -> None:
    own = database.rpartition("/")[2]
    with connect(DatabaseUrl.parse(database), "mul-test") as connection:
        mine = identify(connection)
        (other,) = identify_further(connection, [own, "postgres", "no_such_database"])

    assert (other.database, other.system_identifier) == ("postgres", mine.system_identifier)
    assert other.database_oid != mine.database_oid


def test_a_further_database_that_says_prod(postgres: EmbeddedServer, database: str) -> None:
    name = database.rpartition("/")[2].replace("test_", "prod_")
    postgres.create_database(name)
    with connect(DatabaseUrl.parse(database), "mul-test") as connection:
        try:
            with pytest.raises(GuardError, match=f"{name} looks like production"):
                identify_further(connection, [name])
            (found,) = identify_further(connection, [name], allow_production=True)
        finally:
            connection.execute(f"DROP DATABASE {name}".encode())

    assert found.database == name
