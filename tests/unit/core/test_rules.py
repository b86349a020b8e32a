"""Every rule fires on its bad form, with the statement's own names, and is quiet on its good form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.core.advice import RULES, explain_rules, rules_table
from harness.db.parsing import parse
from harness.errors import UsageError
from tests.fix_advice import (
    AX,
    BAD,
    BOTH,
    CIC,
    FK,
    REWRITE,
    SCAN,
    SMALL,
    SUX,
    Done,
    S,
    advice,
    busy,
    done,
    fired,
)

ADD_CODE = busy("ADD COLUMN c text")

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
