"""The catalog of a real server, read before and after what migrations do to it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from harness.core.schema_diff import SchemaFinding, compare
from harness.core.schema_state import SchemaState, schema_state
from harness.db.catalog import read_schema
from harness.db.url import DatabaseUrl
from tests.fix_postgres import Servers

pytestmark = pytest.mark.integration


def run(database: str, *statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def read(database: str) -> SchemaState:
    state = read_schema(DatabaseUrl.parse(database), 3.5)
    assert state.error == ""
    return state


def found_after(database: str, *statements: str) -> dict[str, SchemaFinding]:
    """By kind, what the statements did to the schema in passing."""
    before = read(database)
    run(database, *statements)
    return {one.kind: one for one in compare(before, read(database))}


@contextmanager
def a_role(database: str, name: str) -> Iterator[str]:
    """The URL of `database` for a new role, whatever of its is left dropped with it."""
    role = sql.Identifier(name)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
        try:
            host = database.partition("@")[2]
            yield f"postgresql://{name}:secret@{host}"
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_an_empty_database_has_an_empty_schema(database: str) -> None:
    assert read(database) == SchemaState(at=3.5)


def test_what_a_schema_holds(database: str) -> None:
    with a_role(database, "catalog_app"):
        run(
            database,
            "CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(20))",
            "CREATE TABLE busy (id serial PRIMARY KEY, customer_id bigint REFERENCES customers, "
            "qty int NOT NULL)",
            "CREATE INDEX busy_lower ON busy (lower(qty::text), customer_id)",
            "ALTER TABLE busy ADD CONSTRAINT positive CHECK (qty > 0) NOT VALID",
            "GRANT SELECT, UPDATE (qty) ON busy TO catalog_app",
            "GRANT USAGE ON SEQUENCE busy_id_seq TO catalog_app",
            "ALTER TABLE busy ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY own ON busy FOR SELECT TO catalog_app USING (customer_id = 1)",
            "CREATE VIEW recent WITH (security_barrier) AS SELECT id, qty FROM busy",
            "CREATE TABLE parts (id int) PARTITION BY RANGE (id)",
            "CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (1) TO (9)",
            "INSERT INTO busy (qty) SELECT n FROM generate_series(1, 5000) n",
            "VACUUM (ANALYZE) busy",
        )

        state = read(database)

    busy = state.tables["busy"]
    assert (busy.kind, busy.owner, busy.persistence, busy.rows) == ("r", "postgres", "p", 5000)
    assert busy.bytes is not None
    assert busy.bytes > 5000 * 30
    assert busy.acl == {"catalog_app": ("SELECT", "UPDATE (qty)")}
    assert (busy.row_security, busy.force_row_security, busy.owner_bypasses) == (True, False, True)
    assert busy.policies == {"own": "FOR SELECT TO catalog_app USING ((customer_id = 1))"}
    assert busy.columns == {"id": "integer not null", "customer_id": "bigint", "qty": "integer not null"}
    assert sorted(busy.statistics or ()) == ["customer_id", "id", "qty"]
    assert busy.visible_ratio == 1.0
    assert state.tables["customers"].rows is None
    assert state.tables["recent"].options == ("security_barrier=true",)
    assert state.tables["recent"].reads == ("busy",)
    assert (state.tables["parts"].kind, state.tables["part_1"].partition_of) == ("p", "parts")
    assert state.indexes["busy_lower"].columns == ("", "customer_id")
    assert state.indexes["busy_pkey"].unique
    assert state.indexes["busy_pkey"].definition == (
        "CREATE UNIQUE INDEX busy_pkey ON public.busy USING btree (id)"
    )
    assert not state.constraints["busy.positive"].valid
    key = state.constraints["busy.busy_customer_id_fkey"]
    assert (key.kind, key.columns, key.valid) == ("f", ("customer_id",), True)
    assert key.definition == "FOREIGN KEY (customer_id) REFERENCES customers(id)"
    serial = state.sequences["busy_id_seq"]
    assert (serial.type, serial.owned_by, serial.column_type) == ("integer", "busy.id", "integer")
    assert serial.acl == {"catalog_app": ("USAGE",)}
    assert state.sequences["customers_id_seq"].identity
    assert state.unread == ()


def test_a_read_state_survives_json_exactly(database: str) -> None:
    run(
        database,
        "CREATE TABLE t (id serial PRIMARY KEY, ratio float8 CHECK (ratio < 0.1))",
        "INSERT INTO t (ratio) SELECT random() / 11 FROM generate_series(1, 3000)",
        "GRANT SELECT ON t TO PUBLIC",
        "VACUUM (ANALYZE) t",
    )
    state = read(database)

    assert schema_state(json.loads(json.dumps(dataclasses.asdict(state)))) == state


def test_an_older_server_tells_the_same(servers: Servers) -> None:
    """Without what it does not know: constraints for NOT NULL, and that are not enforced."""
    url = servers("15").create_database(f"catalog_{uuid4().hex[:12]}")
    run(url, "CREATE TABLE t (id serial PRIMARY KEY)", "CREATE VIEW v AS SELECT id FROM t")

    found = found_after(url, "ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0) NOT VALID")

    assert set(found) == {"not_valid_constraint"}
    assert set(read(url).constraints) == {"t.c", "t.t_pkey"}


def test_names_are_quoted_as_sql_needs_them(database: str) -> None:
    with a_role(database, "Rôle 1"):
        run(
            database,
            'CREATE SCHEMA "other one"',
            'CREATE TABLE "other one"."Tåble ""x""" ("Id" serial PRIMARY KEY, "order" int)',
            'GRANT SELECT ("order") ON "other one"."Tåble ""x""" TO "Rôle 1"',
            'CREATE TABLE "select" (a int)',
            "CREATE TABLE pg_like (a int)",
        )
        state = read(database)
        name = '"other one"."Tåble ""x"""'

        assert set(state.tables) == {name, '"select"', "pg_like"}
        assert state.tables[name].columns == {'"Id"': "integer not null", '"order"': "integer"}
        assert state.tables[name].acl == {'"Rôle 1"': ('SELECT ("order")',)}
        assert [one.owned_by for one in state.sequences.values()] == [f'{name}."Id"']
        assert set(state.indexes) == {'"other one"."Tåble ""x""_pkey"'}

        lost = found_after(
            database,
            f'REVOKE ALL ON {name} FROM "Rôle 1"',
            f'REVOKE SELECT ("order") ON {name} FROM "Rôle 1"',
        )
        run(database, lost["lost_grant"].remedy)
        assert compare(state, read(database)) == ()


def test_a_failed_unique_index_is_left_invalid(database: str) -> None:
    run(database, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (1)")
    before = read(database)

    with pytest.raises(psycopg.errors.UniqueViolation):
        run(database, "CREATE UNIQUE INDEX CONCURRENTLY uq ON t (a)")

    (one,) = compare(before, read(database))
    assert (one.kind, one.relation, one.red) == ("invalid_index", "uq", True)
    run(database, "DELETE FROM t", *one.remedy.split("; "))
    assert read(database).indexes["uq"].valid
    assert compare(before, read(database)) == ()


def test_an_index_that_still_enforces_uniqueness(database: str) -> None:
    run(database, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    before = read(database)
    with psycopg.connect(database) as old_snapshot:
        # CREATE INDEX CONCURRENTLY waits for it last, when the index is ready and not yet valid
        old_snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old_snapshot.execute("SELECT 1")
        with pytest.raises(psycopg.errors.QueryCanceled):
            run(database, "SET statement_timeout = 500", "CREATE UNIQUE INDEX CONCURRENTLY uq ON t (a)")

    (one,) = compare(before, read(database))
    assert "23505" in one.what
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(database, "INSERT INTO t VALUES (1)")


def test_a_table_swapped_for_a_copy_loses_what_like_does_not_copy(database: str) -> None:
    with a_role(database, "catalog_app"):
        run(
            database,
            "CREATE TABLE d (id int PRIMARY KEY, tenant int)",
            "INSERT INTO d SELECT n, n FROM generate_series(1, 100) n",
            "GRANT SELECT, INSERT ON d TO catalog_app",
            "CREATE POLICY own ON d USING (tenant = 1)",
            "ALTER TABLE d ENABLE ROW LEVEL SECURITY",
            "ANALYZE d",
            "CREATE VIEW sums AS SELECT tenant, count(*) FROM d GROUP BY tenant",
            "CREATE TABLE child (d_id int REFERENCES d)",
        )

        found = found_after(
            database,
            "CREATE TABLE n (LIKE d INCLUDING ALL)",
            "INSERT INTO n SELECT * FROM d",
            "ALTER TABLE d RENAME TO d_old",
            "ALTER TABLE n RENAME TO d",
        )

        assert set(found) == {
            "swapped_table",
            "lost_grant",
            "row_security_off",
            "lost_policy",
            "statistics_lost",
        }
        assert "the old one is d_old now" in found["swapped_table"].what
        assert "Still tied to d_old: child.child_d_id_fkey, sums." in found["swapped_table"].what
        run(database, *[one.remedy for one in found.values()])
        mended = read(database).tables["d"]
        assert mended.acl == {"catalog_app": ("INSERT", "SELECT")}
        assert mended.policies == {"own": "FOR ALL TO PUBLIC USING ((tenant = 1))"}
        assert mended.row_security
        assert mended.statistics


def test_a_replaced_view_loses_security_invoker(database: str) -> None:
    run(
        database,
        "CREATE TABLE d (id int, tenant int)",
        "ALTER TABLE d ENABLE ROW LEVEL SECURITY",
        "CREATE VIEW v WITH (security_invoker = true) AS SELECT id FROM d",
    )

    found = found_after(database, "CREATE OR REPLACE VIEW v AS SELECT id, tenant FROM d")

    assert set(found) == {"lost_view_option", "row_security_bypassed"}
    assert found["lost_view_option"].remedy == "ALTER VIEW v SET (security_invoker = true);"


def test_a_new_owner_is_past_row_security(database: str) -> None:
    with a_role(database, "catalog_app"):
        run(database, "CREATE TABLE d (id int)", "ALTER TABLE d ENABLE ROW LEVEL SECURITY")

        found = found_after(database, "ALTER TABLE d OWNER TO catalog_app")

        assert "catalog_app sees all its rows" in found["changed_owner"].what


def test_a_partition_is_attached_outside_its_parents_row_security(database: str) -> None:
    run(
        database,
        "CREATE TABLE d (id int) PARTITION BY RANGE (id)",
        "ALTER TABLE d ENABLE ROW LEVEL SECURITY",
        "CREATE TABLE d_1 (id int)",
        "GRANT SELECT ON d_1 TO PUBLIC",
    )

    found = found_after(database, "ALTER TABLE d ATTACH PARTITION d_1 FOR VALUES FROM (1) TO (9)")

    assert set(found) == {"partition_without_row_security"}


def test_a_serial_column_made_bigint_keeps_its_narrow_sequence(database: str) -> None:
    run(database, "CREATE TABLE t (id serial)")

    found = found_after(database, "ALTER TABLE t ALTER id TYPE bigint")

    assert set(found) == {"narrow_sequence"}
    run(database, found["narrow_sequence"].remedy)
    assert read(database).sequences["t_id_seq"].type == "bigint"


def test_a_rewrite_loses_statistics_and_visibility(database: str) -> None:
    run(
        database,
        "CREATE TABLE t (id int, filler text)",
        "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n",
        "VACUUM (ANALYZE) t",
    )
    before = read(database)

    found = found_after(database, "ALTER TABLE t ALTER id TYPE bigint")

    assert set(found) == {"statistics_lost", "visibility_lost"}
    run(database, *[one.remedy for one in found.values()])
    assert compare(before, read(database)) == ()


def test_a_constraint_that_was_not_validated(database: str) -> None:
    run(database, "CREATE TABLE t (a int)")

    found = found_after(database, "ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0) NOT VALID")

    assert set(found) == {"not_valid_constraint"}
    assert found_after(database, found["not_valid_constraint"].remedy) == {}


def test_a_not_null_constraint_that_was_not_validated(database: str) -> None:
    """From PostgreSQL 18."""
    run(database, "CREATE TABLE t (a int)")

    found = found_after(database, "ALTER TABLE t ADD CONSTRAINT given NOT NULL a NOT VALID")

    assert set(found) == {"not_valid_constraint"}


def test_a_constraint_that_is_not_enforced_is_meant_so(database: str) -> None:
    """From PostgreSQL 18."""
    run(database, "CREATE TABLE t (a int)")

    assert found_after(database, "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT ENFORCED") == {}


def test_a_new_foreign_key_without_an_index(database: str) -> None:
    run(database, "CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE c (p_id int)")

    found = found_after(database, "ALTER TABLE c ADD FOREIGN KEY (p_id) REFERENCES p")

    assert set(found) == {"foreign_key_without_index"}
    run(database, found["foreign_key_without_index"].remedy)


def test_a_plain_migration_is_no_finding(database: str) -> None:
    run(database, "CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE gone (a int)")

    assert (
        found_after(
            database,
            "ALTER TABLE t ADD COLUMN note text NOT NULL DEFAULT ''",
            "CREATE INDEX CONCURRENTLY ON t (note)",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (note <> 'x') NOT VALID",
            "ALTER TABLE t VALIDATE CONSTRAINT c",
            "CREATE TABLE fresh (id bigserial)",
            "DROP TABLE gone",
        )
        == {}
    )


@pytest.mark.parametrize(
    "lock",
    ["LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "REINDEX INDEX t_lower", "LOCK TABLE only_this"],
)
def test_a_locked_table_does_not_make_it_hang(database: str, lock: str) -> None:
    run(
        database,
        "CREATE TABLE t (a int CHECK (a > 0), b text)",
        "CREATE INDEX t_lower ON t (lower(b))",
        "CREATE POLICY own ON t USING (a = 1)",
        "CREATE TABLE only_this (a int)",
    )
    free = read(database)
    with psycopg.connect(database) as holder:
        holder.execute(lock)

        started = time.monotonic()
        state = read(database)
        took_s = time.monotonic() - started

    locked = "only_this" if "only_this" in lock else "t"
    assert took_s < 2
    assert state.unread == (
        f"Sizes and definitions of {locked}: another session had, or wanted, ACCESS EXCLUSIVE.",
    )
    assert state.tables[locked].bytes is None
    assert state.tables["t"].columns == free.tables["t"].columns
    assert state.tables["t"].policies.keys() == {"own"}
    assert state.indexes.keys() == {"t_lower"}
    assert compare(free, state) == ()


def test_a_lock_that_comes_while_it_reads_does_not_make_it_hang(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, "CREATE TABLE t (a int CHECK (a > 0))")
    monkeypatch.setattr("harness.db.catalog_sql.LOCKED", "SELECT 0::oid AS oid WHERE false")
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")

        state = read(database)

    assert state.tables["t"].bytes is None
    assert state.constraints["t.t_a_check"].definition == ""
    assert len(state.unread) == 1


def test_a_role_without_privileges_reads_what_it_may(database: str) -> None:
    run(database, "CREATE SCHEMA other", "CREATE TABLE other.t (a int)", "INSERT INTO other.t VALUES (1)")
    run(database, "CREATE TABLE mine (a int)", "INSERT INTO mine VALUES (1)", "ANALYZE")
    with a_role(database, "catalog_plain") as url:
        run(database, "GRANT SELECT ON mine TO catalog_plain")

        state = read(url)
        whole = read(database)

    assert state.tables["mine"].statistics == ("a",)
    assert state.tables["other.t"].statistics is None
    assert state.unread == ("Planner statistics of other.t: the role may not SELECT from them.",)
    assert dataclasses.replace(state.tables["other.t"], statistics=("a",)) == whole.tables["other.t"]


def test_a_role_that_may_not_read_the_catalog_is_told(database: str) -> None:
    run(database, "REVOKE SELECT ON pg_class FROM PUBLIC")
    with a_role(database, "catalog_barred") as url:
        state = read_schema(DatabaseUrl.parse(url), 3.5)

    assert state.tables == {}
    assert "permission denied" in state.error
    assert "secret" not in state.error


def test_a_schema_that_is_too_large_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(database, "CREATE TABLE a (a int)", "CREATE TABLE b (b int)")
    monkeypatch.setattr("harness.db.catalog_sql.LIMIT", 1)

    state = read_schema(DatabaseUrl.parse(database), 3.5)

    assert state.tables == {}
    assert "over 1 rows" in state.error


def test_a_server_that_is_gone_is_told(database: str) -> None:
    state = read_schema(DatabaseUrl.parse(f"{database}_gone"), 3.5)

    assert state.tables == {}
    assert "has no database" in state.error
