"""Statements as they were traced, and what the rules say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.core.advice import Advice, Traced, advise
from harness.core.schema_state import IndexState, TableState
from harness.core.session_settings import LostSetting
from harness.core.trace import Lock, Statement
from harness.db.parsing import parse

AX, S, SRX, SUX = "AccessExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ShareUpdateExclusiveLock"
BIG, SMALL = 1_000_000.0, 10.0
NAMES = ("busy", "customers", "pt", "pt1", "ptnew", "mv", "vb", "other", '"My Table"', "child")


def sizes(rows: float = BIG, **changes: Any) -> dict[str, TableState]:
    tables = {name: TableState(name, "r", "me", rows=rows, bytes=int(rows) * 100) for name in NAMES}
    tables["busy"] = replace(tables["busy"], columns={"id": "bigint not null", "code": "text"}, **changes)
    tables["pt"] = replace(tables["pt"], kind="p", rows=-1.0, bytes=0)
    tables["pt1"] = replace(tables["pt1"], partition_of="pt")
    return tables


INDEXES = {
    "busy_tenant": IndexState("busy_tenant", "busy", "", columns=("tenant_id",)),
    "busy_left": IndexState("busy_left", "busy", "", valid=False, columns=("code",)),
}


@dataclass(frozen=True)
class Done:
    """One statement and what was measured; `locks` are (relation, mode) or (relation, mode, kind, of)."""

    sql: str
    locks: Sequence[tuple[str, ...]] = ()
    hold_s: float = 0.02
    blocked: int = 0
    transaction: int | None = 1
    measured: dict[str, Any] | None = None


def done(sql: str, *locks: tuple[str, ...], **fields: Any) -> Done:
    own = {name: fields.pop(name) for name in ("hold_s", "blocked", "transaction") if name in fields}
    return Done(sql, locks, measured=fields, **own)


def _lock(given: tuple[str, ...], started: float, hold_s: float) -> Lock:
    relation, mode, kind, *of = given if len(given) > 2 else (*given, "r")
    return Lock(relation, kind, mode, started, started + hold_s, next(iter(of), None))


def _statement(n: int, step: Done) -> Statement:
    started = 100.0 + n
    fields: dict[str, Any] = {
        "duration_s": 0.01,
        "rows": None,
        "sqlstate": None,
        "error": None,
        "lock_timeout_s": 2.0,
        "statement_timeout_s": 0.0,
        "rewrites": (),
        "executions": 1,
        **(step.measured or {}),
    }
    return Statement(
        n=n,
        kind="migration",
        revision="r1",
        sql=step.sql,
        process=1,
        backend_pid=2,
        transaction=step.transaction,
        started_mono=started,
        ended_mono=started + 0.01,
        committed_mono=None,
        locks=tuple(_lock(lock, started, step.hold_s) for lock in step.locks),
        **fields,
    )


def traced(*steps: Done) -> tuple[Traced, ...]:
    found: list[Traced] = []
    for n, step in enumerate(steps, start=1):
        statement = _statement(n, step)
        same = [t for t in found if step.transaction and t.statement.transaction == step.transaction]
        blocked_s = step.blocked * 0.6
        found.append(Traced(statement, parse(step.sql), step.blocked, blocked_s, tuple(same)))
    return tuple(found)


def advice(*steps: Done, rows: float = BIG, ignored: dict[str, str] | None = None) -> tuple[Advice, ...]:
    return advise(traced(*steps), sizes(rows), ignored or {}, INDEXES)


def fired(*steps: Done, rows: float = BIG) -> set[str]:
    return {item.rule for item in advice(*steps, rows=rows)}


def busy(sql: str, mode: str = AX, **fields: Any) -> Done:
    """A statement that locked the big table."""
    return done(f"ALTER TABLE busy {sql}", ("busy", mode), **fields)


HASTY: dict[str, Any] = {"lock_timeout_s": 0.0}
REWRITE: dict[str, Any] = {"rewrites": ("busy",), "scans": ("busy",)}
SCAN: dict[str, Any] = {"scans": ("busy",)}
FK = "ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers (id)"
BOTH = (("busy", SRX), ("customers", SRX))
CIC = "CREATE INDEX CONCURRENTLY ix ON busy (code)"

BAD: dict[str, tuple[Done, ...]] = {
    "check-on-new-column": (
        busy("ADD COLUMN c int"),
        busy("ADD CONSTRAINT c_there CHECK (c IS NOT NULL) NOT VALID"),
    ),
    "add-column-volatile-default": (busy("ADD c uuid NOT NULL DEFAULT gen_random_uuid()", **REWRITE),),
    "add-column-serial": (busy("ADD COLUMN c bigserial", **REWRITE),),
    "add-column-identity": (busy("ADD c bigint GENERATED ALWAYS AS IDENTITY", **REWRITE),),
    "add-column-stored-generated": (busy("ADD c int GENERATED ALWAYS AS (id * 2) STORED", **REWRITE),),
    "add-column-rewrite": (busy("ADD COLUMN c posint DEFAULT 1", **REWRITE),),
    "add-column-not-null": (busy("ADD COLUMN c int NOT NULL", sqlstate="23502"),),
    "add-column-unique": (busy("ADD COLUMN c int UNIQUE", **SCAN),),
    "add-column-references": (
        done("ALTER TABLE busy ADD c int REFERENCES customers (id)", ("busy", AX), ("customers", SRX)),
    ),
    "add-column-json": (busy("ADD COLUMN c json"),),
    "drop-column": (busy("DROP COLUMN code", **HASTY),),
    "rename-column": (busy("RENAME COLUMN code TO c"),),
    "set-not-null": (busy("ALTER COLUMN code SET NOT NULL", **SCAN),),
    "alter-type-rewrite": (busy("ALTER COLUMN code TYPE bigint", **REWRITE),),
    "alter-type-timestamptz": (busy("ALTER code TYPE timestamp with time zone", **REWRITE),),
    "alter-type-scan": (busy("ALTER COLUMN code TYPE text", **SCAN),),
    "alter-type-cached-plan": (busy("ALTER COLUMN code TYPE text"),),
    "add-check": (busy("ADD CONSTRAINT c CHECK (id > 0)", **SCAN),),
    "add-foreign-key": (done(f"ALTER TABLE busy {FK}", *BOTH, **SCAN),),
    "create-table-references": (
        done("CREATE TABLE fresh (busy_id bigint REFERENCES busy (id))", ("busy", SRX), **HASTY),
    ),
    "not-valid-and-validate": (
        busy("ADD CONSTRAINT c CHECK (id > 0) NOT VALID"),
        busy("VALIDATE CONSTRAINT c", SUX, **SCAN),
    ),
    "scan-under-exclusive-lock": (
        done(f"ALTER TABLE busy ADD COLUMN c int, {FK}", ("busy", AX), ("customers", SRX), **SCAN),
    ),
    "foreign-key-without-index": (done(f"ALTER TABLE busy {FK} NOT VALID", *BOTH),),
    "add-unique": (busy("ADD CONSTRAINT c UNIQUE (code)", **SCAN),),
    "add-primary-key": (busy("ADD PRIMARY KEY (id)", **SCAN),),
    "add-exclude": (busy("ADD CONSTRAINT c EXCLUDE USING gist (id WITH =)", **SCAN),),
    "drop-foreign-key": (
        done("ALTER TABLE busy DROP CONSTRAINT fk", ("busy", AX), ("customers", AX), **HASTY),
    ),
    "alter-domain": (done("ALTER DOMAIN posint ADD CONSTRAINT c CHECK (VALUE > 1)", ("busy", S)),),
    "create-index": (done("CREATE INDEX ix ON busy (code)", ("busy", S), **SCAN),),
    "create-index-partitioned": (done("CREATE INDEX ix ON pt (v)", ("pt", S, "p"), ("pt1", S)),),
    "drop-index": (done("DROP INDEX busy_tenant", ("busy", AX), ("busy_tenant", AX, "i", "busy")),),
    "reindex": (done("REINDEX TABLE busy", ("busy", S), ("busy_tenant", AX, "i", "busy")),),
    "concurrently-in-transaction": (done(CIC, sqlstate="25001"),),
    "invalid-index": (done(CIC, sqlstate="57014", transaction=None),),
    "if-not-exists-invalid-index": (
        done("CREATE INDEX CONCURRENTLY IF NOT EXISTS busy_left ON busy (code)", transaction=None),
    ),
    "drop-table": (done("DROP TABLE busy", ("busy", AX), ("customers", AX), **HASTY),),
    "rename-table": (busy("RENAME TO idle"),),
    "set-schema": (busy("SET SCHEMA archive"),),
    "truncate": (done("TRUNCATE busy", ("busy", AX), **REWRITE),),
    "drop-cascade": (busy("DROP COLUMN code CASCADE"),),
    "vacuum-full": (done("VACUUM FULL busy", transaction=None, duration_s=4.0),),
    "cluster": (done("CLUSTER busy USING busy_pkey", ("busy", AX), **REWRITE),),
    "set-logged": (busy("SET UNLOGGED", **REWRITE),),
    "set-tablespace": (busy("SET TABLESPACE fast", **REWRITE),),
    "attach-partition": (
        done(
            "ALTER TABLE pt ATTACH PARTITION ptnew FOR VALUES FROM (1) TO (9)",
            *(("pt", SUX, "p"), ("ptnew", AX)),
            scans=("ptnew",),
        ),
    ),
    "detach-partition": (done("ALTER TABLE pt DETACH PARTITION pt1", ("pt", AX, "p"), ("pt1", AX)),),
    "create-partition-of": (
        done("CREATE TABLE pt9 PARTITION OF pt FOR VALUES FROM (1) TO (9)", ("pt", AX, "p")),
    ),
    "refresh-matview": (done("REFRESH MATERIALIZED VIEW mv", ("mv", AX, "m"), rewrites=("mv",)),),
    "create-trigger": (
        done("CREATE TRIGGER tg BEFORE INSERT ON busy EXECUTE FUNCTION f()", ("busy", SRX), **HASTY),
    ),
    "drop-trigger": (done("DROP TRIGGER tg ON busy", ("busy", AX), **HASTY),),
    "disable-trigger": (busy("DISABLE TRIGGER tg", SRX),),
    "enable-row-security": (busy("ENABLE ROW LEVEL SECURITY"),),
    "create-policy": (done("CREATE POLICY p ON busy USING (true)", ("busy", AX), **HASTY),),
    "replace-view": (done("CREATE OR REPLACE VIEW vb AS SELECT 1", ("vb", AX, "v")),),
    "alter-sequence": (
        done("ALTER SEQUENCE busy_id_seq AS bigint", ("busy_id_seq", SRX, "S", "busy"), **HASTY),
    ),
    "enum-value-same-transaction": (
        done("ALTER TYPE status ADD VALUE 'lost'"),
        done("UPDATE busy SET status = 'lost' WHERE id = 1", sqlstate="55P04"),
    ),
    "rename-enum-value": (done("ALTER TYPE status RENAME VALUE 'paid' TO 'settled'"),),
    "update-without-batches": (done("UPDATE busy SET code = 'x'", rows=1_000_000, duration_s=4.0),),
    "batches-in-one-transaction": (
        done("UPDATE busy SET code = 'x' WHERE id < 6000", rows=6_000),
        done("UPDATE busy SET code = 'x' WHERE id BETWEEN 6000 AND 12000", rows=6_000),
    ),
    "delete-without-batches": (done("DELETE FROM busy WHERE id < 9", rows=20_000),),
    "insert-without-batches": (done("INSERT INTO other SELECT * FROM busy", rows=20_000),),
    "no-lock-timeout": (busy("ADD COLUMN c int", lock_timeout_s=0.0),),
    "lock-timeout-reached": (busy("ADD COLUMN c int", sqlstate="55P03", duration_s=2.0),),
    "set-local-outside-transaction": (done("SET LOCAL lock_timeout = '2s'", transaction=None),),
    "setting-lost-in-pooler": (
        done("SET lock_timeout = '2s'"),
        busy("ADD COLUMN c int", lost=(LostSetting("lock_timeout", 2.0, 0.0, 1),), transaction=2),
    ),
    "prepared-statement-in-pooler": (busy("ADD COLUMN c int", sqlstate="26000"),),
    "lock-table": (done("LOCK TABLE busy IN SHARE MODE", ("busy", S)),),
    "backfill-with-ddl": (
        busy("ADD COLUMN c int", hold_s=5.0),
        done("UPDATE other SET code = 1 WHERE id < 9", rows=5_000, duration_s=4.0),
    ),
    "work-after-exclusive-lock": (
        busy("ADD COLUMN c int", hold_s=5.0),
        done("SELECT pg_sleep(4)", duration_s=4.0),
    ),
    "several-exclusive-locks": (
        busy("ADD COLUMN c int", hold_s=5.0),
        done("ALTER TABLE customers ADD COLUMN c int", ("customers", AX)),
    ),
    "several-rewrites": (
        busy("ALTER COLUMN id TYPE numeric", **REWRITE),
        busy("ALTER COLUMN code TYPE varchar(9)", **REWRITE),
    ),
    "if-not-exists-locks": (busy("ADD COLUMN IF NOT EXISTS code text"),),
    "deadlock": (busy("ADD COLUMN c int", sqlstate="40P01"),),
    "blocking-lock": (done("DO $$ BEGIN PERFORM hidden(); END $$", ("busy", AX), hold_s=3.0),),
}
"""For each rule statements on which it fires."""
