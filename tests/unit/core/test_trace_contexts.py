"""The version tables a migration writes to, from the tracer's records."""

from __future__ import annotations

from typing import Any

from harness.core.trace import Trace, VersionTable
from harness.core.trace_fold import build

PROCESS = {"process": 1, "mono": 1.0}
NOBODY = {"lock_timeout_s": 0, "statement_timeout_s": 0}
SHOP = {"backend": 7, "system_identifier": "1", "database_oid": 5, "database": "shop", **NOBODY}


def lock(oid: int, name: str, schema: int = 2200) -> list[Any]:
    return [oid, name, "r", "RowExclusiveLock", oid, f"{schema}.{name}", False]


class Told:
    """Records of one process."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._k = 0
        self.add("hello").add("hooked", library="alembic").add("conn", **SHOP)

    def add(self, kind: str, **fields: Any) -> Told:
        self.records.append({"kind": kind, **PROCESS, **fields})
        return self

    def context(self, run: int, table: str = "alembic_version", schema: str | None = None) -> Told:
        return self.add("context", run=run, version_table=table, version_table_schema=schema)

    def end(self, run: int, *heads: str, error: str | None = None) -> Told:
        return self.add("context_end", run=run, ok=error is None, heads=list(heads), error=error)

    def statement(self, run: int, *locks: list[Any], step: str = "version", backend: int = 7) -> Told:
        self._k += 1
        told = {"k": self._k, "backend": backend}
        self.add("begin", **told, sql="SELECT 1", revision=None, step=step, run=run, many=False,
                 prepare=False, status="in")  # fmt: skip
        self.add("end", **told, duration_s=0.1, rows=1, sqlstate=None, error=None, status="in")
        return self.add("snapshot", **told, locks=list(locks), wal=[None, None], **NOBODY)

    def trace(self) -> Trace:
        return build(self.records)


def tables(told: Told) -> list[VersionTable]:
    return [context.table for context in told.trace().contexts]


def test_the_table_is_known_by_its_lock() -> None:
    told = Told().context(1).statement(1, lock(20, "notes"), lock(21, "alembic_version"))
    told.add("heads", run=1, heads=["a1"]).end(1, "b2")

    (context,) = told.trace().contexts

    assert context.table == VersionTable("alembic_version", None, 2200, "shop")
    assert (context.heads_before, context.heads_after, context.ok) == (("a1",), ("b2",), True)


def test_another_name_and_schema_are_known_without_a_lock() -> None:
    told = Told().context(1, "revisions", "house").statement(1, lock(21, "alembic_version"))

    assert tables(told) == [VersionTable("revisions", "house", None, "shop")]


def test_two_schemas_in_one_transaction_hold_both_locks() -> None:
    anna, bert = lock(21, "alembic_version", 100), lock(31, "alembic_version", 200)
    told = Told().context(1).statement(1, anna).end(1, "b2")
    told.context(2).statement(2, anna).statement(2, anna, bert).end(2, "b2")

    assert [table.schema_oid for table in tables(told)] == [100, 200]


def test_twice_the_same_schema() -> None:
    own = lock(21, "alembic_version")
    told = Told().context(1).statement(1, own).end(1, "a1").context(2).statement(2, own).end(2, "b2")

    assert [table.schema_oid for table in tables(told)] == [2200, 2200]


def test_what_cannot_be_told_apart_is_not_told() -> None:
    anna, bert = lock(21, "alembic_version", 100), lock(31, "alembic_version", 200)
    told = Told().context(1).statement(1, anna, bert)

    assert [table.schema_oid for table in tables(told)] == [None]


def test_a_table_made_anew_after_a_rollback_is_the_same() -> None:
    told = Told().context(1).statement(1, lock(21, "alembic_version")).end(1, error="OperationalError: busy")
    told.context(2).statement(2, lock(31, "alembic_version")).end(2, "b2")

    assert len(set(tables(told))) == 1


def test_a_second_database() -> None:
    told = Told().add("conn", **{**SHOP, "backend": 8, "database_oid": 6, "database": "archive"})
    own = lock(21, "alembic_version")
    told.context(1).statement(1, own).end(1, "a1")
    told.context(2).statement(2, own, backend=8).end(2, "a1")

    assert [(table.database, table.schema_oid) for table in tables(told)] == [
        ("shop", 2200),
        ("archive", 2200),
    ]


def test_the_database_is_that_of_alembics_own_statements() -> None:
    told = Told().add("conn", **{**SHOP, "backend": 8, "database_oid": 6, "database": "archive"})
    told.context(1).statement(1, step="migration", backend=8).statement(1, lock(21, "alembic_version"))

    assert [table.database for table in tables(told)] == ["shop"]


def test_the_error_that_env_py_hides() -> None:
    told = (
        Told()
        .context(1)
        .add("rev_begin", run=1, revision="a1", down_revisions=[], is_upgrade=True, is_stamp=False, doc=None)
    )
    told.add("rev_end", run=1, revision="a1", ok=False, error="ProgrammingError: no such column")
    told.end(1, error="ProgrammingError: no such column")

    trace = told.trace()

    assert trace.contexts[0].error == trace.revisions[0].error == "ProgrammingError: no such column"
    assert trace.contexts[0].ok is trace.revisions[0].ok is False


def test_the_same_revision_in_two_schemas_at_once() -> None:
    told = Told().context(1).context(2)
    for run in (1, 2):
        told.add(
            "rev_begin", run=run, revision="a1", down_revisions=[], is_upgrade=True, is_stamp=False, doc=None
        )
    told.add("rev_end", run=1, revision="a1", ok=True, error=None)

    assert [(step.context, step.ok) for step in told.trace().revisions] == [(1, True), (2, None)]
