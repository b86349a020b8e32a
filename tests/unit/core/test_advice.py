"""Every rule fires on its bad form, with the statement's own names, and is quiet on its good form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from harness.core.advice import RULES, Advice, Traced, advise, explain_rules, rules_table
from harness.core.schema_state import IndexState, TableState
from harness.core.session_settings import LostSetting
from harness.core.trace import Lock, Statement
from harness.db.parsing import parse
from harness.errors import UsageError

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
ADD_CODE = busy("ADD COLUMN c text")
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

GOOD: dict[str, tuple[Done, ...]] = {
    "add-column-volatile-default": (ADD_CODE, busy("ALTER COLUMN c SET DEFAULT gen_random_uuid()")),
    "add-column-serial": (ADD_CODE,),
    "add-column-identity": (ADD_CODE,),
    "add-column-stored-generated": (busy("ADD c int GENERATED ALWAYS AS (id * 2) VIRTUAL"),),
    "add-column-rewrite": (busy("ADD COLUMN c posint"),),
    "add-column-not-null": (busy("ADD COLUMN c int NOT NULL DEFAULT 0"),),
    "add-column-unique": (ADD_CODE,),
    "add-column-references": (ADD_CODE,),
    "add-column-json": (busy("ADD COLUMN c jsonb"),),
    "drop-column": (done("ALTER TABLE busy DROP COLUMN IF EXISTS gone"),),
    "rename-column": (ADD_CODE,),
    "set-not-null": (busy("ALTER COLUMN code SET NOT NULL"),),
    "alter-type-rewrite": (busy("ALTER COLUMN code TYPE text"),),
    "alter-type-timestamptz": (busy("ALTER code TYPE timestamptz"),),
    "alter-type-scan": (busy("ALTER COLUMN code TYPE text"),),
    "alter-type-cached-plan": (busy("ADD COLUMN code_new text"),),
    "add-check": (
        busy("ADD CONSTRAINT c CHECK (id > 0) NOT VALID"),
        busy("VALIDATE CONSTRAINT c", SUX, transaction=2, **SCAN),
    ),
    "add-foreign-key": (done(f"ALTER TABLE busy {FK} NOT VALID", *BOTH),),
    "create-table-references": (done("CREATE TABLE fresh (busy_id bigint)"),),
    "check-on-new-column": (
        busy("ADD COLUMN c int"),
        busy("ALTER c SET DEFAULT 1"),
        busy("ADD CONSTRAINT c_there CHECK (c IS NOT NULL) NOT VALID"),
    ),
    "not-valid-and-validate": (
        busy("ADD CONSTRAINT c CHECK (id > 0) NOT VALID"),
        busy("VALIDATE CONSTRAINT c", SUX, transaction=2, **SCAN),
    ),
    "scan-under-exclusive-lock": (done(f"ALTER TABLE busy ADD COLUMN c int, {FK} NOT VALID", ("busy", AX)),),
    "foreign-key-without-index": (
        done("ALTER TABLE busy ADD FOREIGN KEY (tenant_id) REFERENCES customers NOT VALID", *BOTH),
    ),
    "add-unique": (busy("ADD CONSTRAINT c UNIQUE USING INDEX ix"),),
    "add-primary-key": (busy("ADD CONSTRAINT c PRIMARY KEY USING INDEX ix"),),
    "add-exclude": (ADD_CODE,),
    "drop-foreign-key": (busy("DROP CONSTRAINT c"),),
    "alter-domain": (done("ALTER DOMAIN posint ADD CONSTRAINT c CHECK (VALUE > 1) NOT VALID"),),
    "create-index": (done(CIC, transaction=None),),
    "create-index-partitioned": (done("CREATE INDEX ix ON ONLY pt (v)", ("pt", S, "p")),),
    "drop-index": (done("DROP INDEX CONCURRENTLY busy_tenant", transaction=None),),
    "reindex": (done("REINDEX TABLE CONCURRENTLY busy", transaction=None),),
    "concurrently-in-transaction": (done(CIC, transaction=None),),
    "invalid-index": (done(CIC, transaction=None),),
    "if-not-exists-invalid-index": (
        done("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix ON busy (code)", transaction=None),
    ),
    "drop-table": (done("DROP TABLE IF EXISTS gone"),),
    "rename-table": (
        busy("RENAME TO orders"),
        done("CREATE VIEW busy AS SELECT * FROM orders"),
    ),
    "set-schema": (
        busy("SET SCHEMA archive"),
        done("CREATE VIEW busy AS SELECT * FROM archive.busy"),
    ),
    "truncate": (done("DELETE FROM busy WHERE id < 5000", rows=5_000),),
    "drop-cascade": (busy("DROP COLUMN code RESTRICT"),),
    "vacuum-full": (done("VACUUM busy", transaction=None),),
    "cluster": (done("VACUUM busy", transaction=None),),
    "set-logged": (busy("SET (fillfactor = 90)", SUX),),
    "set-tablespace": (busy("SET (fillfactor = 90)", SUX),),
    "attach-partition": (
        done(
            "ALTER TABLE pt ATTACH PARTITION ptnew FOR VALUES FROM (1) TO (9)",
            *(("pt", SUX, "p"), ("ptnew", AX)),
        ),
    ),
    "detach-partition": (done("ALTER TABLE pt DETACH PARTITION pt1 CONCURRENTLY", transaction=None),),
    "create-partition-of": (done("CREATE TABLE pt9 (LIKE pt INCLUDING ALL)"),),
    "refresh-matview": (done("REFRESH MATERIALIZED VIEW CONCURRENTLY mv", ("mv", "ExclusiveLock", "m")),),
    "create-trigger": (ADD_CODE,),
    "drop-trigger": (ADD_CODE,),
    "disable-trigger": (done("SET LOCAL app.migrating = 'on'"),),
    "enable-row-security": (
        done("CREATE POLICY p ON busy USING (true)", ("busy", AX)),
        done("ALTER TABLE busy ENABLE ROW LEVEL SECURITY"),
    ),
    "create-policy": (ADD_CODE,),
    "replace-view": (done("CREATE VIEW vb_v2 AS SELECT 1"),),
    "alter-sequence": (done("CREATE SEQUENCE s"), done("ALTER SEQUENCE s AS bigint")),
    "enum-value-same-transaction": (done("ALTER TYPE status ADD VALUE 'lost'", transaction=None),),
    "rename-enum-value": (done("ALTER TYPE status ADD VALUE 'lost'", transaction=None),),
    "update-without-batches": (done("UPDATE busy SET code = 'x' WHERE id < 5000", rows=5_000),),
    "batches-in-one-transaction": (
        done("UPDATE busy SET code = 'x' WHERE id < 6000", rows=6_000),
        done("UPDATE busy SET code = 'x' WHERE id BETWEEN 6000 AND 12000", rows=6_000, transaction=2),
    ),
    "delete-without-batches": (done("DELETE FROM busy WHERE id < 5000", rows=5_000),),
    "insert-without-batches": (done("INSERT INTO other SELECT * FROM busy LIMIT 500", rows=500),),
    "no-lock-timeout": (busy("ADD COLUMN c int"),),
    "lock-timeout-reached": (busy("ADD COLUMN c int"),),
    "set-local-outside-transaction": (done("SET LOCAL lock_timeout = '2s'"),),
    "setting-lost-in-pooler": (done("SET lock_timeout = '2s'"), busy("ADD COLUMN c int", transaction=2)),
    "prepared-statement-in-pooler": (busy("ADD COLUMN c int", sqlstate="42701"),),
    "lock-table": (done("LOCK TABLE busy IN ACCESS SHARE MODE", ("busy", "AccessShareLock")),),
    "backfill-with-ddl": (
        busy("ADD COLUMN c int"),
        done("UPDATE other SET code = 1 WHERE id < 9", rows=5_000, duration_s=4.0, transaction=2),
    ),
    "work-after-exclusive-lock": (
        busy("ADD COLUMN c int"),
        done("SELECT pg_sleep(4)", duration_s=4.0, transaction=2),
    ),
    "several-exclusive-locks": (
        busy("ADD COLUMN c int"),
        done("ALTER TABLE customers ADD COLUMN c int", ("customers", AX), transaction=2),
    ),
    "several-rewrites": (
        busy("ALTER id TYPE numeric, ALTER code TYPE varchar(9)", **REWRITE),
        busy("ADD COLUMN c int"),
    ),
    "if-not-exists-locks": (busy("ADD COLUMN IF NOT EXISTS c text"),),
    "deadlock": (busy("ADD COLUMN c int"),),
    "blocking-lock": (done("DO $$ BEGIN PERFORM hidden(); END $$", ("busy", AX)),),
}
"""For each rule statements that reach the same, or nearly, without it."""

IDS = [rule.id for rule in RULES]
NOTES = {"add-column-json", "alter-type-cached-plan", "replace-view", "lock-timeout-reached"}


def test_every_rule_has_its_examples() -> None:
    assert set(BAD) == set(GOOD) == set(IDS)
    assert len(IDS) == len(set(IDS)) >= 34


@pytest.mark.parametrize("rule", IDS)
def test_a_rule_fires_on_its_bad_form(rule: str) -> None:
    found = next(item for item in advice(*BAD[rule]) if item.rule == rule)
    assert found.statement == len(BAD[rule])
    assert found.severity == ("note" if rule in NOTES else "finding")
    assert found.evidence
    compile(found.safe, rule, "exec")


@pytest.mark.parametrize("rule", IDS)
def test_a_rule_is_quiet_on_its_good_form(rule: str) -> None:
    assert rule not in fired(*GOOD[rule])


@pytest.mark.parametrize("rule", IDS)
def test_the_safe_form_has_the_names_of_the_statement(rule: str) -> None:
    found = next(item for item in advice(*BAD[rule]) if item.rule == rule)
    named = (
        "busy",
        "other",
        "customers",
        "pt",
        "mv",
        "vb",
        "posint",
        "status",
        "app.migrating",
        "lock_timeout",
        "prepare_threshold",
    )
    assert any(name in found.safe for name in named)
    assert "orders" not in found.safe


CERTAIN = {
    *("add-column-not-null", "concurrently-in-transaction", "invalid-index", "if-not-exists-invalid-index"),
    *("enable-row-security", "enum-value-same-transaction", "rename-enum-value", "deadlock"),
    *("set-local-outside-transaction", "check-on-new-column", "setting-lost-in-pooler"),
    "prepared-statement-in-pooler",
}
LASTED = {
    "vacuum-full",
    "backfill-with-ddl",
    "several-exclusive-locks",
    "work-after-exclusive-lock",
    "blocking-lock",
}


@pytest.mark.parametrize("rule", sorted(set(IDS) - CERTAIN - LASTED - {"update-without-batches"}))
def test_on_a_small_table_it_is_a_note(rule: str) -> None:
    found = [item for item in advice(*BAD[rule], rows=SMALL) if item.rule == rule]
    assert {item.severity for item in found} == {"note"}


@pytest.mark.parametrize("changes", [{"hold_s": 0.6}, {"blocked": 1}])
def test_it_is_a_finding_on_a_small_table_where_it_hurt(changes: dict[str, Any]) -> None:
    step = replace(busy("DROP COLUMN code"), **changes)
    assert [item.severity for item in advice(step, rows=SMALL)] == ["finding"]


CAREFUL = {
    "drop-column": "note",
    "drop-table": "note",
    "drop-trigger": None,
    "create-trigger": None,
    "create-policy": None,
    "drop-foreign-key": None,
    "alter-sequence": None,
}


@pytest.mark.parametrize("rule", CAREFUL)
def test_what_cannot_be_done_better_is_no_finding_when_done_gently(rule: str) -> None:
    (step,) = BAD[rule]
    (said,) = advice(replace(step, measured={"lock_timeout_s": 2.0})) or (None,)
    assert (said and said.severity) == CAREFUL[rule]


@pytest.mark.parametrize("changes", [{"hold_s": 0.6}, {"blocked": 1}])
def test_it_was_not_gentle_when_it_hurt(changes: dict[str, Any]) -> None:
    step = replace(done("DROP TRIGGER tg ON busy", ("busy", AX)), **changes)
    assert [(item.rule, item.severity) for item in advice(step)] == [("drop-trigger", "finding")]


def test_the_size_of_a_partitioned_table_is_that_of_its_partitions() -> None:
    step = done("ALTER TABLE pt DETACH PARTITION pt1", ("pt", AX, "p"))
    assert [item.severity for item in advice(step)] == ["finding"]


def test_a_form_that_shows_a_rewrite_as_it_stands_says_which_rule_has_the_statements_own() -> None:
    volatile = busy("ADD COLUMN c uuid DEFAULT gen_random_uuid()", duration_s=4.0, **REWRITE, **HASTY)
    safe = {found.rule: found.safe for found in advice(busy("ADD COLUMN d int", hold_s=5.0), volatile)}
    said = "# and that statement itself as add-column-volatile-default says"
    assert safe["work-after-exclusive-lock"].endswith(said)
    assert said not in safe["add-column-volatile-default"]
    slow = done("SELECT pg_sleep(4)", duration_s=4.0)
    [alone] = [one.safe for one in advice(busy("ADD COLUMN d int", hold_s=5.0), slow) if one.rule[0] == "w"]
    assert "itself" not in alone


CREATED = "CREATE TABLE fresh (id bigint PRIMARY KEY, code text)"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX ix ON fresh (code)",
        "ALTER TABLE fresh ADD COLUMN c uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE fresh ADD CONSTRAINT c CHECK (id > 0)",
        "UPDATE public.fresh SET code = 'x'",
        "DROP TABLE fresh",
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_table_of_this_migration_is_nobodys_business(sql: str, known: bool) -> None:
    steps = (
        done(CREATED),
        done(sql, ("fresh", AX), ("fresh", S), rows=50_000, rewrites=("fresh",), scans=("fresh",)),
    )
    assert advise(traced(*steps), sizes() if known else {}, {}) == ()


def test_a_renamed_table_is_not_a_new_one() -> None:
    steps = (busy("RENAME TO idle"), done("ALTER TABLE idle DROP COLUMN code", ("idle", AX), hold_s=1.0))
    assert "drop-column" in fired(*steps)


def test_create_table_if_not_exists_of_one_that_was_there_makes_it_no_new_one() -> None:
    steps = (
        done("CREATE TABLE IF NOT EXISTS busy (id int)"),
        busy("DROP COLUMN code"),
    )
    assert fired(*steps) == {"drop-column"}


def test_a_lock_kept_from_an_earlier_statement_counts_from_this_ones_start() -> None:
    steps = (busy("ADD COLUMN c int", hold_s=3.0), done("ALTER TABLE busy DROP COLUMN code"))
    found = next(item for item in advice(*steps) if item.rule == "drop-column")
    assert found.evidence == "AccessExclusiveLock on busy held 2.00 s"


def test_the_evidence_is_what_was_measured() -> None:
    step = busy("ALTER COLUMN code TYPE bigint", hold_s=4.118, blocked=12, **REWRITE)
    (found,) = advice(step)
    assert found.evidence == (
        "AccessExclusiveLock on busy held 4.12 s; busy (about 1,000,000 rows) rewritten; "
        "12 sessions waited 7.20 s in all"
    )
    assert (found.statement, found.revision) == (1, "r1")


def test_locks_that_could_not_be_read_are_said_to_be_so() -> None:
    (found,) = advice(done("CREATE INDEX ix ON busy (code)", transaction=None, duration_s=2.5))
    assert (found.rule, found.severity) == ("create-index", "finding")
    assert found.evidence == "its locks could not be read; it took 2.50 s"


def test_names_with_quotes_and_schemas_go_into_the_code() -> None:
    sql = 'CREATE UNIQUE INDEX "My ix" ON shop."My Table" ("Größe", lower(b)) WHERE b > 0'
    (found,) = advise(traced(done(sql, ('shop."My Table"', S))), {}, {})
    assert found.safe == (
        "with op.get_context().autocommit_block():\n"
        '    op.execute("DROP INDEX CONCURRENTLY IF EXISTS shop.\\"My ix\\"")\n'
        '    op.create_index("My ix", "My Table", ["Größe", sa.text("lower(b)")], schema="shop", '
        'unique=True, postgresql_where=sa.text("b > 0"), postgresql_concurrently=True)'
    )


def test_a_schema_that_only_one_side_names_may_be_any() -> None:
    assert fired(done("ALTER TABLE public.busy DROP COLUMN code", ("busy", AX))) == {"drop-column"}


def test_a_text_that_nobody_understands_is_judged_by_its_locks() -> None:
    step = done("FROBNICATE busy", ("busy", AX), hold_s=0.9, blocked=3)
    (found,) = advice(step)
    assert (found.rule, found.severity) == ("blocking-lock", "finding")
    assert "FROBNICATE busy" in found.safe


def test_a_statement_that_made_others_wait_never_goes_without_advice() -> None:
    (found,) = advice(done("ALTER TABLE busy SET (parallel_workers = 2)", blocked=2))
    assert (found.rule, found.severity) == ("blocking-lock", "finding")


def test_a_note_does_not_hide_that_others_waited() -> None:
    found = advice(busy("ALTER COLUMN code TYPE text", blocked=2))
    assert [(item.rule, item.severity) for item in found] == [
        ("blocking-lock", "finding"),
        ("alter-type-cached-plan", "note"),
    ]


def test_a_specific_rule_stands_in_for_the_general_one() -> None:
    assert fired(busy("DROP COLUMN code", hold_s=3.0)) == {"drop-column"}


def test_the_timeout_is_asked_for_once_per_transaction() -> None:
    steps = [busy(f"ADD COLUMN c{n} int", lock_timeout_s=0.0) for n in range(3)]
    assert [item.statement for item in advice(*steps) if item.rule == "no-lock-timeout"] == [1]


def test_a_timeout_that_a_commit_took_away_is_missed_outside_a_transaction_too() -> None:
    steps = (
        done("SET LOCAL lock_timeout = '200ms'"),
        done("ALTER TABLE busy ADD COLUMN c int", transaction=None, lock_timeout_s=0.0),
    )
    assert [(item.rule, item.statement) for item in advice(*steps)] == [("no-lock-timeout", 2)]


def test_an_unknown_timeout_is_not_zero() -> None:
    assert fired(busy("ADD COLUMN c int", lock_timeout_s=None)) == set()


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (LostSetting("lock_timeout", 0.5, 0.0, 3), "was set to 500 ms by statement 3; it ran with none"),
        (LostSetting("lock_timeout", 2.0, 5.0, None), "2.00 s before the revisions; it ran with 5.00 s"),
        (LostSetting("lock_timeout", 2.0, 0.0, 1, True), "asked right after it, the session had none"),
    ],
)
def test_the_evidence_of_a_lost_setting_is_where_it_was_looked_for(lost: LostSetting, said: str) -> None:
    (found,) = advice(done("SELECT 1", lost=(lost,)))
    assert (found.rule, found.severity) == ("setting-lost-in-pooler", "finding")
    assert said in found.evidence


def test_a_lost_setting_is_told_once_per_transaction() -> None:
    lost = (LostSetting("lock_timeout", 2.0, 0.0, 1),)
    steps = [done(f"SELECT {n}", lost=lost, transaction=n // 2 + 1) for n in range(4)]
    assert [found.statement for found in advice(*steps)] == [1, 3]


def test_an_ignored_rule_stays_to_be_seen_and_comes_last() -> None:
    steps = (
        busy("DROP COLUMN code", hold_s=9.0),
        done("DROP INDEX busy_tenant", ("busy", AX), transaction=2),
    )
    found = advice(*steps, ignored={"drop-column": "release 41 stopped reading it"})
    assert [(item.rule, item.severity, item.reason) for item in found] == [
        ("drop-index", "finding", ""),
        ("drop-column", "ignored", "release 41 stopped reading it"),
    ]


def test_the_worst_comes_first() -> None:
    steps = (
        busy("DROP COLUMN code", transaction=1),
        done("CREATE INDEX ix ON busy (id)", ("busy", S), transaction=2, blocked=4),
        done("DROP INDEX busy_tenant", ("busy", AX), transaction=3, hold_s=2.0),
    )
    assert [item.rule for item in advice(*steps)] == ["create-index", "drop-index", "drop-column"]


def test_secrets_in_a_statement_do_not_go_into_the_advice() -> None:
    step = done("DO $$ BEGIN PERFORM dblink('password=hunter2'); END $$", ("busy", AX), hold_s=3.0)
    assert "hunter2" not in advice(step)[0].safe


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_documented(rule: Any) -> None:
    compile(rule.safe(rule.example), rule.id, "exec")
    assert rule.source.startswith("https://www.postgresql.org/docs/current/")
    assert rule.condition.endswith(".")
    assert rule.consequence.endswith(".")
    assert not rule.instead.endswith(".")
    assert f"### {rule.id}\n" in explain_rules([rule.id])
    assert rules_table().count(f"| `{rule.id}` |") == 1


def test_explaining_all_rules_or_an_unknown_one() -> None:
    assert explain_rules().count("\n```python\n") == len(RULES)
    with pytest.raises(UsageError, match="no rule 'create_index'"):
        explain_rules(["create_index"])


class Op:
    """Stands for Alembic's `op`: keeps the SQL that a safe form executes."""

    def __init__(self) -> None:
        self.sql: list[tuple[str, bool]] = []
        self.outside = False
        self.rowcount = 0

    def execute(self, sql: str) -> Op:
        self.sql.append((sql, self.outside))
        return self

    def create_index(self, name: str, table: str, columns: Sequence[str], **options: Any) -> None:
        kind = "UNIQUE INDEX" if options.get("unique") else "INDEX"
        how = " CONCURRENTLY" if options.get("postgresql_concurrently") else ""
        self.execute(f"CREATE {kind}{how} {name} ON {table} ({', '.join(columns)})")

    def drop_index(self, name: str, **options: Any) -> None:
        self.execute(f"DROP INDEX{' CONCURRENTLY' if options['postgresql_concurrently'] else ''} {name}")

    def get_context(self) -> Op:
        return self

    def get_bind(self) -> Op:
        return self

    def autocommit_block(self) -> Op:
        return self

    def text(self, sql: str) -> str:
        return sql

    def __enter__(self) -> None:
        self.outside = True

    def __exit__(self, *error: object) -> None:
        self.outside = False


def safe(rule: str, sql: str) -> str:
    found = next(item for item in RULES if item.id == rule)
    return found.safe(parse(sql).actions[0])


@pytest.mark.parametrize(
    ("rule", "sql", "written"),
    [
        ("create-policy", "DROP POLICY p ON t", "DROP POLICY p ON t"),
        ("create-policy", "ALTER POLICY p ON t USING (true)", "ALTER POLICY p ON t USING (true)"),
        ("alter-domain", "ALTER DOMAIN d SET NOT NULL", "ALTER DOMAIN d SET NOT NULL"),
        ("not-valid-and-validate", "ALTER TABLE t ADD CONSTRAINT n NOT NULL c NOT VALID", "n NOT NULL c NOT"),
        ("add-check", "ALTER TABLE t ADD c int CHECK (c > 0)", "CONSTRAINT t_c_check CHECK (c > 0) NOT"),
        ("add-column-unique", "ALTER TABLE t ADD c int PRIMARY KEY", "t_pkey PRIMARY KEY USING INDEX t_pkey"),
        ("add-column-json", "ALTER TABLE t ADD c json DEFAULT '{}' NOT NULL", "jsonb DEFAULT '{}' NOT NULL"),
        ("enum-value-same-transaction", "ALTER TYPE e ADD VALUE 'a' BEFORE 'b'", "'a' BEFORE 'b'"),
        ("update-without-batches", "UPDATE t SET a = 1, b = 2 WHERE c", "a = …, b = … WHERE ((c) AND a IS"),
        ("replace-view", "CREATE OR REPLACE VIEW s.v AS SELECT 1", "CREATE VIEW s.v_v2 AS"),
    ],
)
def test_the_safe_form_does_what_was_asked(rule: str, sql: str, written: str) -> None:
    assert written in safe(rule, sql)


def test_a_comment_in_a_statement_does_not_hide_its_end() -> None:
    sql = "UPDATE busy SET code = 'a  b' -- not all\n WHERE id = 3"
    (found,) = advice(done(sql, sqlstate="55P03"))
    assert "SET code = 'a  b' WHERE id = 3" in found.safe


RUNNABLE = sorted(
    {
        *("add-column-volatile-default", "add-column-serial", "add-column-identity", "add-column-unique"),
        *("add-column-references", "set-not-null", "add-check", "add-foreign-key", "not-valid-and-validate"),
        *("add-unique", "create-index", "drop-index", "reindex", "invalid-index", "detach-partition"),
        *("if-not-exists-invalid-index", "refresh-matview", "delete-without-batches", "truncate"),
        *("concurrently-in-transaction", "foreign-key-without-index", "create-partition-of"),
    }
)


@pytest.mark.parametrize("rule", RUNNABLE)
def test_the_safe_form_does_not_fire_the_rule_again(rule: str) -> None:
    found = next(item for item in advice(*BAD[rule]) if item.rule == rule)
    op = Op()
    exec(found.safe, {"op": op, "sa": op})
    steps = [_asked(sql, outside, n) for n, (sql, outside) in enumerate(op.sql, start=1)]
    assert op.sql
    assert rule not in fired(*steps)


def _asked(sql: str, outside: bool, n: int) -> Done:
    """The statement, understood in full, in a transaction of its own, with the lock that it would take."""
    shape = parse(sql)
    assert shape.parsed, sql
    strong = any(action.verb.startswith(("add_", "alter_", "drop_c", "set_")) for action in shape.actions)
    locks = [("busy", AX)] if strong and not outside else []
    return done(sql, *locks, transaction=None if outside else n)


def test_a_foreign_key_may_have_its_index_later() -> None:
    key = done(f"ALTER TABLE busy {FK} NOT VALID", *BOTH)
    index = "CREATE INDEX CONCURRENTLY ix ON busy ({}, tenant_id)"
    (column,) = next(a.columns for a in parse(key.sql).actions if a.verb == "add_foreign_key")
    assert "foreign-key-without-index" not in fired(key, done(index.format(column), transaction=None))
    assert "foreign-key-without-index" in fired(key, done(index.format("note"), transaction=None))


def test_several_attempts_at_one_statement_get_one_advice_by_the_worst() -> None:
    first, second = (
        busy("ADD COLUMN flag boolean", hold_s=hold_s, blocked=3, transaction=transaction)
        for transaction, hold_s in ((1, 1.0), (2, 2.0))
    )
    twice = traced(first, second)
    again = (twice[0], replace(twice[1], statement=replace(twice[1].statement, attempt_of=1)))
    for statements, said_of in ((twice, {1, 2}), (again, {2})):
        said = [one for one in advise(statements, sizes(), {}, INDEXES) if one.rule == "blocking-lock"]
        assert {one.statement for one in said} == said_of
