"""The safe forms of advice run, as they stand, on a real server through a real Alembic."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from alembic import op
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from harness.core.advice import RULES
from harness.core.shape import Action
from harness.db.parsing import parse

pytestmark = pytest.mark.integration

SAFE = {rule.id: rule.safe for rule in RULES}

TABLES = """
    CREATE TABLE customers (id bigint PRIMARY KEY);
    CREATE TABLE "My Orders" (
        id bigint GENERATED ALWAYS AS IDENTITY,
        customer_id bigint,
        code text,
        "at" timestamp,
        "Größe" int
    );
    INSERT INTO customers SELECT generate_series(1, 50);
    INSERT INTO "My Orders" (customer_id, code, "at", "Größe")
        SELECT 1 + n % 50, n, '2030-01-01 12:30', n FROM generate_series(1, 6000) AS n;
    CREATE INDEX orders_code_idx ON "My Orders" (code);
    ALTER TABLE "My Orders" ADD CONSTRAINT orders_fkey FOREIGN KEY (customer_id) REFERENCES customers;
    CREATE TABLE pt (id int NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (1) TO (10);
    CREATE MATERIALIZED VIEW mv AS SELECT id FROM customers;
    CREATE SEQUENCE numbers AS int;
    CREATE TYPE status AS ENUM ('new');
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tg BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION touch();
"""

BAD = {
    "add-column-volatile-default": 'ALTER TABLE "My Orders" ADD c uuid NOT NULL DEFAULT gen_random_uuid()',
    "add-column-serial": 'ALTER TABLE "My Orders" ADD "C n" bigserial',
    "add-column-identity": "ALTER TABLE customers ADD c bigint GENERATED ALWAYS AS IDENTITY",
    "add-column-stored-generated": 'ALTER TABLE "My Orders" ADD c int GENERATED ALWAYS AS ("Größe") STORED',
    "add-column-unique": 'ALTER TABLE "My Orders" ADD c int UNIQUE',
    "add-column-references": 'ALTER TABLE "My Orders" ADD c bigint REFERENCES customers',
    "add-column-json": "ALTER TABLE customers ADD c json",
    "drop-column": 'ALTER TABLE "My Orders" DROP COLUMN "Größe"',
    "set-not-null": 'ALTER TABLE "My Orders" ALTER COLUMN "Größe" SET NOT NULL',
    "alter-type-rewrite": 'ALTER TABLE "My Orders" ALTER COLUMN "Größe" TYPE bigint',
    "alter-type-timestamptz": 'ALTER TABLE "My Orders" ALTER COLUMN "at" TYPE timestamptz',
    "alter-type-cached-plan": "ALTER TABLE \"My Orders\" ALTER COLUMN code TYPE varchar USING code || '1:3'",
    "add-check": 'ALTER TABLE "My Orders" ADD CONSTRAINT "c k" CHECK (code <> \'12:30\')',
    "add-foreign-key": 'ALTER TABLE "My Orders" ADD FOREIGN KEY (customer_id) REFERENCES customers (id)',
    "foreign-key-without-index": 'ALTER TABLE "My Orders" ADD FOREIGN KEY (id) REFERENCES customers',
    "add-unique": 'ALTER TABLE "My Orders" ADD CONSTRAINT u UNIQUE (code, "Größe")',
    "add-primary-key": 'ALTER TABLE "My Orders" ADD PRIMARY KEY ("Größe")',
    "drop-foreign-key": 'ALTER TABLE "My Orders" DROP CONSTRAINT orders_fkey',
    "create-index": 'CREATE UNIQUE INDEX "i x" ON public."My Orders" (lower(code)) WHERE code <> \'1:3\'',
    "create-index-partitioned": "CREATE INDEX i ON pt (id)",
    "drop-index": "DROP INDEX orders_code_idx",
    "reindex": 'REINDEX TABLE "My Orders"',
    "rename-table": 'ALTER TABLE "My Orders" RENAME TO orders',
    "truncate": 'TRUNCATE "My Orders"',
    "drop-cascade": "DROP MATERIALIZED VIEW mv CASCADE",
    "cluster": "CLUSTER customers USING customers_pkey",
    "detach-partition": "ALTER TABLE pt DETACH PARTITION pt1",
    "create-partition-of": "CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (10) TO (20)",
    "refresh-matview": "REFRESH MATERIALIZED VIEW mv",
    "drop-trigger": "DROP TRIGGER tg ON customers",
    "create-policy": "CREATE POLICY p ON customers USING (id > 0)",
    "alter-sequence": "ALTER SEQUENCE numbers AS bigint",
    "enum-value-same-transaction": "ALTER TYPE status ADD VALUE 'paid'",
    "delete-without-batches": 'DELETE FROM "My Orders" WHERE "Größe" > 10',
    "lock-table": "LOCK TABLE customers",
    "if-not-exists-locks": "ALTER TABLE customers ADD COLUMN IF NOT EXISTS id bigint",
}
"""For each rule whose safe form needs nothing filled in, what a person wrote."""


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database) as setting_up:
        setting_up.execute(TABLES)
    engine = sa.create_engine(
        database.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool
    )
    with engine.connect() as connection:
        yield connection


def run(connection: Connection, code: str) -> None:
    """The code as the body of a revision's upgrade()."""
    context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        exec(code, {"op": op, "sa": sa})


@pytest.mark.parametrize("rule", BAD)
def test_a_safe_form_runs(connection: Connection, rule: str) -> None:
    shape = parse(BAD[rule])
    action = shape.actions[-1]
    assert shape.parsed
    code = SAFE[rule](action)
    if rule == "create-index-partitioned":
        code = code.replace("partition_1", "pt1")
    run(connection, code)


def test_the_backfill_leaves_no_row(connection: Connection) -> None:
    sql = 'ALTER TABLE "My Orders" ADD c uuid NOT NULL DEFAULT gen_random_uuid()'
    run(connection, SAFE["add-column-volatile-default"](parse(sql).actions[0]))
    counted = connection.execute(sa.text('SELECT count(*), count(DISTINCT c) FROM "My Orders"')).one()
    assert tuple(counted) == (6000, 6000)


@pytest.mark.parametrize(
    ("rule", "written", "kept"),
    [
        ("alter-type-rewrite", 'ALTER COLUMN "Größe" TYPE bigint', "Größe_new"),
        ("alter-type-rewrite", 'ALTER COLUMN "Größe" TYPE bigint USING "Größe" * 1', "Größe_new"),
        ("add-column-stored-generated", 'ADD c int GENERATED ALWAYS AS ("Größe") STORED', "c"),
    ],
)
def test_what_is_written_after_the_backfill_is_in_the_new_column_as_well(
    connection: Connection, rule: str, written: str, kept: str
) -> None:
    run(connection, SAFE[rule](parse(f'ALTER TABLE "My Orders" {written}').actions[-1]))
    connection.execute(sa.text('INSERT INTO "My Orders" ("Größe") VALUES (70000)'))
    connection.execute(sa.text('UPDATE "My Orders" SET "Größe" = 80000 WHERE id = 1'))
    apart = f'SELECT count(*) FROM "My Orders" WHERE "{kept}" IS DISTINCT FROM "Größe"'
    assert connection.scalar(sa.text(apart)) == 0


def test_a_batch_touches_no_row_of_another_partition(connection: Connection) -> None:
    connection.execute(sa.text("ALTER TABLE pt ADD gone bool NOT NULL DEFAULT false"))
    connection.execute(sa.text("CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (10) TO (20)"))
    connection.execute(sa.text("INSERT INTO pt SELECT n, n < 10 FROM generate_series(1, 19) AS n"))
    connection.commit()
    run(connection, SAFE["delete-without-batches"](parse("DELETE FROM pt WHERE gone").actions[0]))
    assert connection.scalar(sa.text("SELECT count(*) FROM pt")) == 10


def test_a_value_that_does_not_fit_the_new_type_is_not_cut_off(connection: Connection) -> None:
    code = SAFE["alter-type-rewrite"](parse("ALTER TABLE orders ALTER code TYPE varchar(3)").actions[0])
    connection.execute(sa.text("CREATE TABLE orders AS SELECT 'abcdef' AS code"))
    connection.commit()
    with pytest.raises(sa.exc.DataError, match="too long"):
        run(connection, code)


KEPT = {
    "add-foreign-key": (
        'ALTER TABLE "My Orders" ADD CONSTRAINT k FOREIGN KEY (customer_id) REFERENCES customers (id)'
        " MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL (customer_id) DEFERRABLE INITIALLY DEFERRED"
    ),
    "add-column-references": (
        "ALTER TABLE customers ADD c bigint NOT NULL DEFAULT 1 REFERENCES customers (id)"
        " ON DELETE CASCADE DEFERRABLE"
    ),
    "add-unique": (
        'ALTER TABLE "My Orders" ADD CONSTRAINT k UNIQUE NULLS NOT DISTINCT (code) INCLUDE (id) DEFERRABLE'
    ),
    "add-primary-key": 'ALTER TABLE "My Orders" ADD CONSTRAINT k PRIMARY KEY ("Größe") INCLUDE (id)',
    "add-check": 'ALTER TABLE "My Orders" ADD CONSTRAINT k CHECK ("Größe" > 0) NO INHERIT',
    "create-index": (
        'CREATE UNIQUE INDEX k ON "My Orders" USING btree (code DESC, lower(code) text_pattern_ops)'
        " INCLUDE (id) NULLS NOT DISTINCT WITH (fillfactor = 70) WHERE id > 0 -- all"
    ),
    "create-index-partitioned": "CREATE UNIQUE INDEX k ON pt USING btree (id DESC) WHERE id > 5",
}
DEFINED = """
    SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n'
    UNION ALL SELECT replace(pg_get_indexdef(indexrelid), ' ONLY ', ' ') FROM pg_index
    UNION ALL SELECT concat(attname, attnotnull, pg_get_expr(adbin, adrelid)) FROM pg_attribute
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid IN ('customers'::regclass, '"My Orders"'::regclass) AND attnum > 0
    ORDER BY 1
"""


@pytest.mark.parametrize("rule", KEPT)
def test_a_safe_form_makes_what_the_statement_made(connection: Connection, rule: str) -> None:
    connection.execute(sa.text(KEPT[rule]))
    asked = connection.scalars(sa.text(DEFINED)).all()
    connection.rollback()
    code = SAFE[rule](parse(KEPT[rule]).actions[0])
    run(connection, code.replace("partition_1", "pt1").replace("k_1", "pt1_id_idx"))
    assert connection.scalars(sa.text(DEFINED)).all() == asked


def test_a_sequence_is_in_the_schema_of_its_table(connection: Connection) -> None:
    connection.execute(sa.text('CREATE SCHEMA "a\'b"'))
    connection.execute(sa.text('CREATE TABLE "a\'b".t AS SELECT generate_series(1, 3) AS id'))
    connection.commit()
    run(connection, SAFE["add-column-serial"](parse('ALTER TABLE "a\'b".t ADD n serial').actions[0]))
    assert connection.scalar(sa.text('SELECT max(n) FROM "a\'b".t')) == 3


def test_a_table_that_was_renamed_is_read_by_the_rights_of_who_reads(connection: Connection) -> None:
    connection.execute(sa.text("CREATE SCHEMA s"))
    connection.execute(sa.text("CREATE TABLE s.t (id int)"))
    connection.commit()
    run(connection, SAFE["rename-table"](parse("ALTER TABLE s.t RENAME TO u").actions[0]))
    options = connection.scalar(sa.text("SELECT reloptions FROM pg_class WHERE oid = 's.t'::regclass"))
    assert options == ["security_invoker=true"]


def test_a_colon_in_a_literal_is_no_parameter(connection: Connection) -> None:
    action = Action("add_check", "customers", "c", expression="id::text <> '12:30'")
    run(connection, SAFE["add-check"](action))
    definition = connection.scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'c'")
    )
    assert "'12:30'" in definition
