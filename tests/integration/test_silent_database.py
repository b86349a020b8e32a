"""A database that accepts connections and never says a word: `harness` commands end, and say so.

As the network may also do to a database whose packets are dropped behind a proxy or a load balancer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from harness.cli import main
from tests.fix_target import INI

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

SECRET = "hunter2"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where it is; MUL_DATABASE_URL says the same."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setenv("MUL_DATABASE_URL", f"postgresql://u:{SECRET}@127.0.0.1:{port}/shop")
        yield f"PostgreSQL at 127.0.0.1 (port {port})"


@pytest.mark.parametrize(
    "command",
    [
        ("doctor", "--alembic-config", str(INI)),
        ("trace", "--alembic-config", str(INI), "--upgrade", "safe@head", "--allow-database", "shop"),
    ],
    ids=lambda command: command[0],
)
def test_it_is_said_that_nobody_answers(
    command: tuple[str, ...], silent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(command)
    said = capsys.readouterr()
    assert code == 2
    assert f"{silent} did not answer within 5 s." in said.out + said.err
    assert SECRET not in said.out + said.err
