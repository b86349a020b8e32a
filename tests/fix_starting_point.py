"""A person's database whose runs start at the same point."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from harness.clock import utc_now, wait_until
from harness.core.plan import Plan
from harness.core.plan_check import check_plan
from harness.db.binaries import find_binaries
from harness.db.guard import RunLock
from harness.db.server import EmbeddedServer
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError
from harness.run.services import Services
from harness.run.starting_point import StartingPoint, check_starting_point
from harness.store import RunDirectory

CONTENT = """
    CREATE SCHEMA stock;
    CREATE TABLE stock.items (id serial PRIMARY KEY, name text);
    INSERT INTO stock.items (name) SELECT 'item ' || n FROM generate_series(1, 1000) n;
    CREATE INDEX ON stock.items (name);
    COMMENT ON TABLE stock.items IS 'all of them';
    CREATE VIEW shown AS SELECT * FROM stock.items;
"""


@dataclass
class Shop:
    """A person's database, and the runs that start on it."""

    server: EmbeddedServer
    name: str
    folder: Path
    url: str = ""
    roles: list[str] = field(default_factory=list)

    def sql(self, statement: str, database: str = "") -> list[tuple[Any, ...]]:
        """What the statement returns, in the person's database unless another is named."""
        url = self.server.database_url(database or self.name)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def role(self, options: str = "") -> str:
        """A role of this test's own, that may log in with its name as the password."""
        name = f"role_{uuid4().hex[:8]}"
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{name}' {options}", "postgres")
        self.roles.append(name)
        return name

    def dump(self, form: str = "custom") -> str:
        """A dump of the content above, made in a database of its own."""
        source = f"{self.name}_source"
        self.server.create_database(source)
        self.sql(CONTENT, source)
        return self.dump_of(source, form)

    def dump_of(self, source: str, form: str = "custom") -> str:
        """A dump of the database `source`, which is dropped."""
        file = self.folder / f"{uuid4().hex}.{form}"
        command = [
            str(find_binaries().program("pg_dump")),
            f"--format={form}",
            f"--file={file}",
            self.server.database_url(source),
        ]
        subprocess.run(command, check=True, capture_output=True)
        self.sql(f"DROP DATABASE {source}", "postgres")
        return str(file)

    def start(
        self,
        undo: ExitStack | None = None,
        url: str = "",
        said: list[str] | None = None,
        **changes: Any,
    ) -> list[str]:
        """Bring the database to the start of a run, as it would be before its load; what was said."""
        plan = Plan(
            host="http://127.0.0.1:8000",
            database_url=url or self.url,
            placebo=True,
            allow_database=(self.name,),
            run_root=str(self.folder / "runs"),
            **changes,
        )
        check_plan(plan)
        check_starting_point(plan)
        directory = RunDirectory.create(plan, utc_now())
        said = [] if said is None else said
        services = Services("http://127.0.0.1:8000", plan.database_url)
        with ExitStack() as run:
            run.callback(directory.close)
            start = StartingPoint(plan, services, directory, said.append, rest)
            start.recreate(run)
            run.callback(RunLock.acquire(DatabaseUrl.parse(services.database_url or ""), "run").release)
            start.fill()
            if undo is not None:
                undo.push(run.pop_all())
        return said

    def items(self) -> int:
        """How many items are in the database."""
        return int(self.sql("SELECT count(*) FROM stock.items")[0][0])

    def databases(self) -> set[str]:
        """The databases of the server whose names begin as this one's, without that beginning."""
        found = self.sql(f"SELECT datname FROM pg_database WHERE datname LIKE '{self.name}%'", "postgres")
        return {str(name).removeprefix(self.name) for (name,) in found}


def rest(seconds: float) -> None:
    wait_until(lambda: False, within=seconds)


def a_shop(server: EmbeddedServer, folder: Path) -> Iterator[Shop]:
    name = f"shop_{uuid4().hex[:8]}"
    shop = Shop(server, name, folder, server.create_database(name))
    yield shop
    for suffix in shop.databases():
        shop.sql(f"DROP DATABASE {name}{suffix} WITH (FORCE)", "postgres")
    for role in shop.roles:
        shop.sql(f"DROP ROLE IF EXISTS {role}", "postgres")


@pytest.fixture
def shop(postgres: EmbeddedServer, tmp_path: Path) -> Iterator[Shop]:
    yield from a_shop(postgres, tmp_path)


def refused(shop: Shop, kind: type[HarnessError], said: str, **changes: Any) -> None:
    """The run is refused, and the database and its sessions are as they were."""
    shop.sql("CREATE TABLE mine (i int)")
    with psycopg.connect(shop.url, autocommit=True) as session:
        with pytest.raises(kind, match=said) as found:
            shop.start(**{"prepare": "true", "recreate_database": True, **changes})
        assert found.value.remedy
        assert session.execute("SELECT count(*) FROM mine").fetchone() == (0,)


PREPARE = (
    """python -c 'import os, psycopg; psycopg.connect(os.environ["MUL_DATABASE_URL"], autocommit=True)"""
    """.execute("CREATE TABLE seeded AS SELECT generate_series(1, 3)")'"""
)
