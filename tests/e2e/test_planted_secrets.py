"""Secrets are planted in one run, and looked for in everything that it leaves, shows, sends and starts."""

from __future__ import annotations

import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from psycopg import sql

from harness.clock import utc_now, wait_until
from harness.core.blocks import Block, read_blocks
from harness.core.plan import Plan
from harness.run.services import REFERENCE_ALEMBIC, Services, start_demo
from harness.store import RunDirectory
from tests.fix_run import LOCUSTFILE, Run, without_test_settings

pytestmark = [pytest.mark.e2e, pytest.mark.migration, pytest.mark.timeout(240)]

DATABASE_PASSWORD = "planted-database-4711"
ACCOUNT_PASSWORD = "planted-account-4712"
API_KEY = "planted-api-key-4713"
PREPARE_PASSWORD = "planted-prepare-4714"
SIGNING_KEY = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
TOKEN = re.compile(rb"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")
"""A JSON Web Token, as the service gives them to its accounts."""

PLANTED = re.compile(
    b"|".join(
        [
            rb"planted-[a-z-]+-\d+",
            TOKEN.pattern,
            *(re.escape(line.encode()) for line in SIGNING_KEY.split("\n")[1:-2]),
            re.escape(b"PRIVATE KEY"),
        ]
    )
)

PLAN = f"""
[service]
database-url-variable = "SHOP_URL"

[load]
users = 8
target-rate = 40
accounts = "accounts.csv"

[phases]
warmup = "1s"
baseline = "5s"
recover = "5s"
probe = "2s"

[migration]
alembic-config = "{REFERENCE_ALEMBIC}"
command = "{sys.executable} -P migrate.py"
upgrade = "unsafe@head"

[safety]
databases = ["shop"]
"""

LOCUST = f"""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, {str(LOCUSTFILE.parent)!r})
import migrate_under_load
from locust.rpc.protocol import Message

class Shopper(migrate_under_load.Person):
    pass

packed = Message.serialize

def overheard(message):
    data = packed(message)
    with Path("messages").open("ab") as file:
        file.write(data + b"\\n")
    return data

Message.serialize = overheard
begin = subprocess.Popen.__init__

def watched(process, args, *more, **options):
    with Path("commands").open("a") as file:
        print(args if isinstance(args, str) else " ".join(map(str, args)), file=file)
    begin(process, args, *more, **options)

subprocess.Popen.__init__ = watched
"""
"""Keeps what Locust's processes tell each other, and the command line of every process that they start."""

MIGRATE = f"""
import os
from alembic.config import main
print("migrating", os.environ["MUL_DATABASE_URL"], "with", os.environ["SHOP_API_KEY"], flush=True)
main(["-c", {str(REFERENCE_ALEMBIC)!r}, "upgrade", "unsafe@head"])
"""

PREPARE = """
import os
print("restoring with password=" + os.environ["SHOP_RESTORE_PASSWORD"])
print("into", os.environ["MUL_DATABASE_URL"])
print("as", os.environ["MUL_DATABASE_URL"].split(":")[2].split("@")[0])
print("API_KEY=" + os.environ["SHOP_API_KEY"])
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The reference service, started by somebody else, with passwords of its own."""
    plan = Plan(rows=2_000, run_root=str(tmp_path_factory.mktemp("own")))
    directory = RunDirectory.create(plan, utc_now())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUL_TARGET_SEED_PASSWORD", ACCOUNT_PASSWORD)
        patch.setenv("MUL_TARGET_SIGNING_KEY", SIGNING_KEY)
        services = start_demo(plan, directory)
    yield services
    services.stop()
    directory.close()


@pytest.fixture(scope="module")
def database_url(own: Services) -> str:
    """The database's URL with the planted password."""
    assert own.database_url is not None
    with psycopg.connect(own.database_url, autocommit=True) as connection:
        create = sql.SQL("CREATE ROLE shopkeeper SUPERUSER LOGIN PASSWORD {}")
        connection.execute(create.format(sql.Literal(DATABASE_PASSWORD)))
    found = urlsplit(own.database_url)
    return f"postgresql://shopkeeper:{DATABASE_PASSWORD}@{found.hostname}:{found.port}/shop"


@dataclass
class Heard:
    """What a finished run gave away: its run directory, and by name all else that others could read."""

    run: Run
    pages: dict[str, bytes] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    messages: bytes = b""


@pytest.fixture(scope="module")
def heard(own: Services, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """One run with the web page and a worker process, whose pages are read while it goes on."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "harness.toml").write_text(PLAN)
    (folder / "locustfile.py").write_text(LOCUST)
    (folder / "migrate.py").write_text(MIGRATE)
    accounts = [f"account-{number:04},{ACCOUNT_PASSWORD}" for number in range(1, 21)]
    (folder / "accounts.csv").write_text("\n".join(["name,password", *accounts]))
    prepare = folder / "prepare.py"
    prepare.write_text(PREPARE)
    port = _free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "locust", "--host", own.host, "--processes", "1"),
            *("--autostart", "--autoquit", "0", "--web-port", str(port)),
        ],
        cwd=folder,
        env=without_test_settings()
        | {
            "SHOP_URL": database_url,
            "SHOP_API_KEY": API_KEY,
            "MUL_MIGRATION_ENV": "SHOP_API_KEY",
            "MUL_TARGET_DATABASE_URL": database_url,
            "MUL_TARGET_SIGNING_KEY": SIGNING_KEY,
            "SHOP_RESTORE_PASSWORD": PREPARE_PASSWORD,
            "MUL_PREPARE": f"{sys.executable} {prepare}",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    heard = Heard(Run(process, folder / "runs"))
    try:
        assert wait_until(lambda: "recover" in heard.run.phases(), 90), process.poll()
        for path in PAGES:
            heard.pages[path] = _page(f"http://127.0.0.1:{port}/{path}")
        heard.run.wait(90)
    finally:
        _end(process)
    heard.commands = tuple((folder / "commands").read_text().splitlines())
    heard.messages = (folder / "messages").read_bytes()
    return heard


def test_the_run_was_whole(heard: Heard) -> None:
    assert heard.run.process.returncode in (0, 1, 4), heard.run.output
    assert heard.run.verdict["complete"]
    assert heard.run.verdict["migration"]["status"] == "ok"
    assert heard.run.verdict["ledger"]["acknowledged"] > 0
    rows = heard.run.verdict["isolation"]["rows"]
    assert sum(row["refused"] for row in rows if row["probe"] == "wrong_issuer") > 0, "the key was not used"


def test_no_secret_is_in_the_run_directory(heard: Heard) -> None:
    files = dict(_contents(heard.run.directory.resolve()))
    assert {"plan.json", "verdict.json", "report.html", "samples.blocks", "logs/prepare.log"} <= set(files)
    assert b"restoring with" in files["logs/prepare.log"]
    assert b"migrating postgresql://shopkeeper:***@" in files["logs/migration-1.log"]
    assert _found(files) == {}


def test_no_secret_is_on_the_terminal(heard: Heard) -> None:
    assert "preparing: " in heard.run.output
    assert _found({"output": heard.run.output.encode()}) == {}


PAGES = {
    "": b"warmup_time",
    "migration/": b"<title>",
    "migration/status": b'"phase"',
    "stats/requests": b"/documents",
    "logs": b"Starting Locust",
    "tasks": b"Shopper",
    "exceptions": b'"exceptions"',
}
"""The pages of a run, and what shows that each was answered with what it is for."""


@pytest.mark.parametrize("path", PAGES)
def test_no_secret_is_in_a_web_page(path: str, heard: Heard) -> None:
    page = heard.pages[path]
    assert PAGES[path] in page
    assert _found({path: page}) == {}


def test_no_secret_is_in_the_command_line_of_a_process_that_a_run_starts(heard: Heard) -> None:
    for started in ("harness.db.observer", "migrate.py", "prepare.py"):
        assert any(started in command for command in heard.commands), heard.commands
    assert _found({command: command.encode() for command in heard.commands}) == {}


def test_no_secret_is_in_what_locusts_processes_tell_each_other(heard: Heard) -> None:
    assert b"spawn" in heard.messages
    assert b"warmup_time" in heard.messages
    assert _found({"messages": heard.messages}) == {}


def test_a_secret_would_be_found_in_packed_files(tmp_path: Path) -> None:
    said = f"{API_KEY} and {API_KEY}".encode()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "lines.ndjson.gz").write_bytes(gzip.compress(said))
    (tmp_path / "samples.blocks").write_bytes(Block("worker", 0, 1, said).encode())
    assert not [file for file in tmp_path.rglob("*.*") if API_KEY.encode() in file.read_bytes()]
    found = _found(dict(_contents(tmp_path)))
    assert found == {name: {API_KEY.encode()} for name in ("logs/lines.ndjson.gz", "samples.blocks")}


def _found(contents: Mapping[str, bytes]) -> dict[str, set[bytes]]:
    """The planted secrets in each of the contents that has one."""
    found = {name: set(PLANTED.findall(content)) for name, content in contents.items()}
    return {name: secrets for name, secrets in found.items() if secrets}


def _contents(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below the directory by its name, unpacked."""
    for folder, _, names in os.walk(directory):
        for file in (Path(folder, name) for name in names):
            data = file.read_bytes()
            if file.suffix == ".gz":
                data = gzip.decompress(data)
            elif file.suffix == ".blocks":
                data += b"".join(block.payload for block in read_blocks(data)[0])
            yield str(file.relative_to(directory)), data


def _end(process: subprocess.Popen[str]) -> None:
    """End what is left of a run, whatever became of it."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own


def _page(url: str) -> bytes:
    """What is answered; raises HTTPError for anything but a page."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
