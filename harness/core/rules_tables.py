"""Rules about whole tables and partitions."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.names import last_part, parts, quoted, same
from harness.core.rule import (
    ACCESS_EXCLUSIVE,
    READS_BLOCKED,
    Case,
    Match,
    Rule,
    asks,
)
from harness.core.safe_forms import autocommit, execute, patient, schema, sql_table, string, table, word
from harness.core.shape import Action

__all__ = ["RULES"]

_ALTER = "https://www.postgresql.org/docs/current/sql-altertable.html"
_PARTITIONS = "https://www.postgresql.org/docs/current/ddl-partitioning.html"
_CASCADING = (
    *("drop_table", "drop_schema", "drop_type", "drop_view", "drop_matview", "drop_column"),
    *("drop_constraint", "truncate"),
)
_CONCURRENT = frozenset(["concurrently", "finalize"])


def _drop(action: Action) -> str:
    name = sql_table(action)
    return "\n".join(
        (
            "# one release after no code names it; its foreign keys first, each in a transaction of its own:",
            patient(execute(f"ALTER TABLE {name} DROP CONSTRAINT {quoted(last_part(name) + '_…_fkey')}")),
            patient(f"op.drop_table({table(action)}{schema(action.relation)})"),
        )
    )


def _rename(action: Action) -> str:
    old, new = table(action), word(action.name, "new_name")
    before = (quoted(part) for part in parts(sql_table(action))[:-1])
    view = _view(sql_table(action), ".".join((*before, action.name or "new_name")))
    return "\n".join(
        (
            *_LEFT_A_VIEW,
            patient(f"op.rename_table({old}, {new}{schema(action.relation)})", execute(view)),
        )
    )


_LEFT_A_VIEW = (
    "# the old name stays as an updatable view until no code uses it; give it the table's grants too.",
    "# security_invoker (PostgreSQL 15) keeps row-level security; on 14 a view reads as its owner",
)


def _view(name: str, table: str) -> str:
    return f"CREATE VIEW {name} WITH (security_invoker = true) AS SELECT * FROM {table}"  # noqa: S608


def _move(action: Action) -> str:
    name = sql_table(action)
    moved = f"{action.name or 'other'}.{quoted(last_part(name))}"
    return "\n".join(
        (
            *_LEFT_A_VIEW,
            patient(
                execute(f"ALTER TABLE {name} SET SCHEMA {action.name or 'other'}"),
                execute(_view(name, moved)),
            ),
        )
    )


def _empty(action: Action) -> str:
    name = sql_table(action)
    rows = f"DELETE FROM {name} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {name} LIMIT 5000))"  # noqa: S608
    return autocommit(
        f"while op.get_bind().execute(sa.text({string(rows)})).rowcount:",
        '    op.execute("SELECT pg_sleep(0.1)")',
    )


def _repack(action: Action) -> str:
    return "\n".join(
        (
            f"# beside reads and writes, from a shell: pg_repack --table={sql_table(action)}",
            "# to keep bloat down instead:",
            patient(execute(f"ALTER TABLE {sql_table(action)} SET (autovacuum_vacuum_scale_factor = 0.02)")),
        )
    )


def _copy(action: Action) -> str:
    return "\n".join(
        (
            "# no lighter form rewrites a table in place: make the new table beside it, keep it equal with a",
            "# trigger, fill it in batches and swap the names; or do it in an announced quiet hour:",
            patient(execute(f"ALTER TABLE {sql_table(action)} {_CHANGES.get(action.verb, 'SET …')}")),
        )
    )


_CHANGES = {"set_logged": "SET LOGGED", "set_unlogged": "SET UNLOGGED"}


def _attach(action: Action) -> str:
    part = action.name or "partition"
    check = quoted(f"{last_part(part)}_bounds")
    bounds = action.expression or "FOR VALUES FROM (1) TO (100)"
    return "\n".join(
        (
            "# a CHECK that says the same as the bounds (and NOT NULL of the key) saves the scan:",
            execute(f"ALTER TABLE {part} ADD CONSTRAINT {check} CHECK (…) NOT VALID"),
            autocommit(execute(f"ALTER TABLE {part} VALIDATE CONSTRAINT {check}")),
            patient(
                execute(f"ALTER TABLE {sql_table(action)} ATTACH PARTITION {part} {bounds}"),
                execute(f"ALTER TABLE {part} DROP CONSTRAINT {check}"),
            ),
        )
    )


def _detach(action: Action) -> str:
    sql = f"ALTER TABLE {sql_table(action)} DETACH PARTITION {action.name or 'partition'} CONCURRENTLY"
    return "\n".join(
        ("# PostgreSQL refuses it while there is a DEFAULT partition:", autocommit(execute(sql)))
    )


def _standalone(action: Action) -> str:
    part, parent = action.name or "partition", sql_table(action)
    bounds = action.expression or "FOR VALUES FROM (1) TO (100)"
    like = f"(LIKE {parent} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING INDEXES)"
    return "\n".join(
        (
            execute(f"CREATE TABLE {part} {like}"),
            patient(execute(f"ALTER TABLE {parent} ATTACH PARTITION {part} {bounds}")),
        )
    )


_KINDS = {
    "drop_schema": "SCHEMA",
    "drop_type": "TYPE",
    "drop_view": "VIEW",
    "drop_matview": "MATERIALIZED VIEW",
}


def _restrict(action: Action) -> str:
    name = action.name or sql_table(action)
    if action.verb == "truncate":
        return patient(execute(f"TRUNCATE {sql_table(action)}"))
    if action.verb in ("drop_column", "drop_constraint"):
        what = action.verb.removeprefix("drop_").upper()
        return patient(execute(f"ALTER TABLE {sql_table(action)} DROP {what} {name} RESTRICT"))
    return "\n".join(
        (
            "# drop what depends on it first, each thing by its name:",
            patient(execute(f"DROP {_KINDS.get(action.verb, 'TABLE')} {name} RESTRICT")),
        )
    )


def _dropped(case: Case) -> Iterator[Match]:
    for action in case.actions("drop_table"):
        sure = "if_exists" not in action.flags
        own = case.held(action.relation, *READS_BLOCKED, sure=sure)
        if own is not None:
            others = [item for item in case.locks(ACCESS_EXCLUSIVE) if not same(item.relation, own.relation)]
            held = (own, *others)
            yield case.match(action, *held, weight="note" if case.gentle(*held) else "measured")


def _attached(case: Case) -> Iterator[Match]:
    for action in case.traced.shape.actions:
        if action.verb != "attach_partition" or case.failed:
            continue
        scanned = [name for name in case.statement.scans if not same(name, action.relation)]
        held = [item for item in case.locks(ACCESS_EXCLUSIVE) if same(item.relation, action.name)]
        others = [item for item in case.locks(ACCESS_EXCLUSIVE) if item.relation in scanned]
        if scanned and (held or others):
            yield case.match(action, *dict.fromkeys((*held, *others)))


def _cascades(case: Case) -> Iterator[Match]:
    for action in case.actions(*_CASCADING):
        held = case.locks(ACCESS_EXCLUSIVE)
        if "cascade" in action.flags and held:
            yield case.match(action, *held)


def _no_view_left(case: Case, action: Action) -> bool:
    """Whether no view of the old name came with the same commit."""
    return not any(same(name, action.relation) for name in case.views)


def _rewritten(case: Case, action: Action) -> bool:
    return case.rewrote(action.relation)


_ORDERS = "orders"

RULES = (
    Rule(
        id="drop-table",
        title="DROP TABLE",
        condition="A table was dropped: AccessExclusiveLock on it and on every table it references.",
        consequence="Those who use the parents wait; the running release's queries fail (42P01) afterwards.",
        instead="in the release after the one whose code no longer names it; foreign keys first",
        source="https://www.postgresql.org/docs/current/sql-droptable.html",
        example=Action("drop_table", _ORDERS, _ORDERS),
        safe=_drop,
        matches=_dropped,
    ),
    Rule(
        id="rename-table",
        title="RENAME TABLE",
        condition="An existing table was renamed.",
        consequence="The running release's queries fail (42P01) from the commit on.",
        instead="rename it and leave a view of the old name",
        source=_ALTER,
        example=Action("rename_table", _ORDERS, "purchases"),
        safe=_rename,
        matches=asks("rename_table", also=_no_view_left),
    ),
    Rule(
        id="set-schema",
        title="SET SCHEMA",
        condition="An existing table was moved to another schema.",
        consequence="The running release does not find it (42P01) unless its search path has both schemas.",
        instead="move it and leave a view of the old name",
        source=_ALTER,
        example=Action("set_schema", _ORDERS, "sales"),
        safe=_move,
        matches=asks("set_schema", also=_no_view_left),
    ),
    Rule(
        id="truncate",
        title="TRUNCATE",
        condition="An existing table was truncated under AccessExclusiveLock.",
        consequence="Reads and writes wait; transactions with an older snapshot see the table empty.",
        instead="DELETE in batches",
        source="https://www.postgresql.org/docs/current/sql-truncate.html",
        example=Action("truncate", _ORDERS),
        safe=_empty,
        matches=asks("truncate"),
    ),
    Rule(
        id="drop-cascade",
        title="CASCADE",
        condition="CASCADE was given: what depends on the object went with it, unnamed.",
        consequence="Views, foreign keys and policies that others rely on go as well, under their locks.",
        instead="drop each dependent thing by its name",
        source="https://www.postgresql.org/docs/current/ddl-depend.html",
        example=Action("drop_table", _ORDERS, _ORDERS),
        safe=_restrict,
        matches=_cascades,
    ),
    Rule(
        id="vacuum-full",
        title="VACUUM FULL",
        condition="A table was rewritten by VACUUM FULL.",
        consequence="Reads and writes wait for the whole rewrite.",
        instead="pg_repack, and autovacuum that keeps up",
        source="https://www.postgresql.org/docs/current/sql-vacuum.html",
        example=Action("vacuum", _ORDERS),
        safe=_repack,
        matches=asks("vacuum", having=frozenset(["full"])),
    ),
    Rule(
        id="cluster",
        title="CLUSTER",
        condition="A table was rewritten by CLUSTER.",
        consequence="Reads and writes wait for the whole rewrite.",
        instead="pg_repack",
        source="https://www.postgresql.org/docs/current/sql-cluster.html",
        example=Action("cluster", _ORDERS),
        safe=_repack,
        matches=asks("cluster"),
    ),
    Rule(
        id="set-logged",
        title="SET LOGGED or SET UNLOGGED",
        condition="A table was made logged or unlogged, which rewrites it.",
        consequence="Reads and writes wait; an unlogged table is empty after a crash and on every replica.",
        instead="a new table, filled in batches, swapped",
        source=_ALTER,
        example=Action("set_logged", _ORDERS),
        safe=_copy,
        matches=asks("set_logged", "set_unlogged", also=_rewritten),
    ),
    Rule(
        id="set-tablespace",
        title="SET TABLESPACE",
        condition="A table was copied to another tablespace under AccessExclusiveLock.",
        consequence="Reads and writes wait until every block is copied.",
        instead="pg_repack",
        source=_ALTER,
        example=Action("set_tablespace", _ORDERS, "fast"),
        safe=_repack,
        matches=asks("set_tablespace", also=_rewritten),
    ),
    Rule(
        id="attach-partition",
        title="ATTACH PARTITION that reads the partition",
        condition="A table was attached as a partition and all of it read under AccessExclusiveLock.",
        consequence="Who uses it, or the DEFAULT partition, waits for the scan and until the commit.",
        instead="a validated CHECK that says the bounds, then ATTACH",
        source=f"{_PARTITIONS}#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE",
        example=Action("attach_partition", _ORDERS, "orders_2030"),
        safe=_attach,
        matches=_attached,
    ),
    Rule(
        id="detach-partition",
        title="DETACH PARTITION without CONCURRENTLY",
        condition="A partition was detached under AccessExclusiveLock on the partitioned table.",
        consequence="Reads and writes of every partition wait until the transaction ends.",
        instead="DETACH PARTITION … CONCURRENTLY",
        source=f"{_ALTER}#SQL-ALTERTABLE-DETACH-PARTITION",
        example=Action("detach_partition", _ORDERS, "orders_2020"),
        safe=_detach,
        matches=asks("detach_partition", without=_CONCURRENT),
    ),
    Rule(
        id="create-partition-of",
        title="CREATE TABLE … PARTITION OF",
        condition="A partition was created in place, under AccessExclusiveLock on the partitioned table.",
        consequence="Reads and writes of every partition wait until the transaction ends.",
        instead="CREATE TABLE … (LIKE …), then ATTACH PARTITION",
        source=f"{_PARTITIONS}#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE",
        example=Action("create_partition", _ORDERS, "orders_2030"),
        safe=_standalone,
        matches=asks("create_partition"),
    ),
)
