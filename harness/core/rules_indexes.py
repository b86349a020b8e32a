"""Rules about indexes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.names import last_part, parts, quoted, same
from harness.core.rule import ACCESS_EXCLUSIVE, READS_BLOCKED, SHARE, Case, Match, Rule, asks
from harness.core.safe_forms import autocommit, columns, execute, own_name, schema, string, table, word
from harness.core.shape import Action

__all__ = ["RULES", "create_index", "drop_index_first"]

_CREATE = "https://www.postgresql.org/docs/current/sql-createindex.html"
_CONCURRENTLY = f"{_CREATE}#SQL-CREATEINDEX-CONCURRENTLY"
_IN_TRANSACTION = "25001"
_SERVER_SAYS_EXISTS = "42P07"
_BUILDS = ("create_index", "reindex")
_CONCURRENT = frozenset(["concurrently"])


def create_index(action: Action) -> str:
    """`op.create_index` for CONCURRENTLY, with the action's own options; SQL where it has more than those."""
    if action.rest:
        return execute(_index_sql(action, own_name(action, "idx"), f"{action.relation}", " CONCURRENTLY"))
    options = ["unique=True"] if "unique" in action.flags else []
    options += [f"postgresql_using={string(action.type)}"] if action.type else []
    if action.expression and "where" in action.flags:
        options.append(f"postgresql_where=sa.text({string(action.expression)})")
    options.append("postgresql_concurrently=True")
    name = string(own_name(action, "idx"))
    where = schema(action.relation)
    return f"op.create_index({name}, {table(action)}, {columns(action.columns)}{where}, {', '.join(options)})"


def _index_sql(action: Action, name: str, on: str, how: str = "") -> str:
    """CREATE INDEX with all that the action says, under another name and on another table."""
    unique = " UNIQUE" if "unique" in action.flags else ""
    using = f" USING {action.type}" if action.type else ""
    rest = f" {action.rest}" if action.rest else ""
    where = f" WHERE {action.expression}" if action.expression else ""
    listed = ", ".join(action.columns)
    return f"CREATE{unique} INDEX{how} {quoted(name)} ON {on}{using} ({listed}){rest}{where}"


def drop_index_first(action: Action) -> str:
    """Removes what a build that failed has left behind."""
    name = quoted(own_name(action, "idx"))
    qualified = ".".join((*(quoted(part) for part in parts(action.relation or "")[:-1]), name))
    return execute(f"DROP INDEX CONCURRENTLY IF EXISTS {qualified}")


def _build(action: Action) -> str:
    if action.verb != "create_index":
        return _elsewhere(action)
    return autocommit(drop_index_first(action), create_index(action))


def _drop(action: Action) -> str:
    name = word(action.name, "index")
    where = schema(action.name)
    return autocommit(f"op.drop_index({name}{where}, postgresql_concurrently=True, if_exists=True)")


def _reindex(action: Action) -> str:
    kind = (action.type or "table").upper()
    return autocommit(execute(f"REINDEX {kind} CONCURRENTLY {action.name or 'name'}"))


def _partitioned(action: Action) -> str:
    name, parent = own_name(action, "idx"), action.relation or "parent"
    return "\n".join(
        (
            execute(_index_sql(action, name, f"ONLY {parent}")),
            "# then for each partition, here the one named partition_1:",
            autocommit(
                execute(_index_sql(action, f"{name}_1", "partition_1", " CONCURRENTLY")),
                execute(f"ALTER INDEX {quoted(name)} ATTACH PARTITION {quoted(name + '_1')}"),
            ),
        )
    )


def _elsewhere(action: Action) -> str:
    if action.verb == "drop_index":
        return _drop(action)
    if action.verb == "reindex":
        return _reindex(action)
    if action.verb == "detach_partition":
        sql = f"ALTER TABLE {action.relation} DETACH PARTITION {action.name} CONCURRENTLY"
        return autocommit(execute(sql))
    if action.verb == "refresh_matview":
        return execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {action.relation}")
    return _build(action)


def _is_parent(case: Case, action: Action) -> bool:
    kinds = {lock.kind for lock in case.statement.locks if same(lock.relation, action.relation)}
    state = case.size(action.relation)
    return "p" in kinds or (state is not None and state.kind == "p")


def _create(case: Case) -> Iterator[Match]:
    plain = asks(
        "create_index",
        modes=(SHARE,),
        without=_CONCURRENT,
        also=lambda case, action: not _is_parent(case, action) and not _was_there(case, action),
    )
    yield from plain(case)


def _create_on_parent(case: Case) -> Iterator[Match]:
    for match in asks(
        "create_index", modes=(SHARE,), without=frozenset(["concurrently", "only"]), also=_is_parent
    )(case):
        yield case.match(match.action, *(case.locks(SHARE) or ()), said=match.evidence)


def _drops(case: Case) -> Iterator[Match]:
    for action in case.actions("drop_index"):
        if "concurrently" in action.flags:
            continue
        held = [item for item in case.locks(ACCESS_EXCLUSIVE) if not same(item.relation, action.name)]
        if held:
            yield case.match(action, *held)
        elif not case.statement.locks and not case.failed and not case.traced.previous:
            took = case.held(action.name, *READS_BLOCKED, sure="if_exists" not in action.flags)
            if took is not None:
                yield case.match(action, took)


def _reindexes(case: Case) -> Iterator[Match]:
    for action in case.actions("reindex"):
        if "concurrently" in action.flags or case.failed:
            continue
        held = case.locks(SHARE, ACCESS_EXCLUSIVE)
        indexes = [lock.relation for lock in case.statement.locks if lock.kind == "i"]
        said = f"AccessExclusiveLock on {', '.join(indexes)}, which every reader needs" if indexes else ""
        if held or case.statement.transaction is None:
            took = held or (case.held(action.relation or action.name, SHARE),)
            yield case.match(action, *(item for item in took if item is not None), said=said)


def _outside(case: Case) -> Iterator[Match]:
    if case.statement.sqlstate != _IN_TRANSACTION:
        return
    for action in case.traced.shape.actions:
        if "concurrently" in action.flags or action.verb in ("vacuum", "reindex"):
            yield case.match(action, said=f"refused with SQLSTATE {_IN_TRANSACTION}", weight="certain")


def _invalid(case: Case) -> Iterator[Match]:
    state = case.statement.sqlstate
    if state in (None, _IN_TRANSACTION, _SERVER_SAYS_EXISTS, "42P01", "42703", "42601", "42501"):
        return
    for action in case.actions(*_BUILDS):
        if "concurrently" in action.flags:
            took = "" if case.statement.duration_s is None else f" after {case.statement.duration_s:.2f} s"
            yield case.match(action, said=f"failed with SQLSTATE {state}{took}", weight="certain")


def _was_there(case: Case, action: Action) -> bool:
    """An index of this name was there: IF NOT EXISTS did nothing."""
    own = action.name
    return "if_not_exists" in action.flags and any(same(index, own) for index in case.indexes)


def _skipped(case: Case) -> Iterator[Match]:
    for action in case.actions("create_index"):
        if "if_not_exists" not in action.flags or case.failed:
            continue
        left = any(same(name, action.name) and not index.valid for name, index in case.indexes.items())
        tried = any(
            same(other.name, action.name) and "concurrently" in other.flags
            for other in case.past.failed.get("create_index", ())
        )
        if left or tried:
            said = f"index {action.name} was there already and is invalid"
            yield case.match(action, said=said, weight="certain")


def _unindexed_name(action: Action) -> str:
    # Its own name without the schema: CREATE INDEX takes none.
    return _build(replace(action, name=last_part(action.name) if action.name else None))


_EXAMPLE = Action("create_index", "orders", "orders_customer_id_idx", columns=("customer_id",))

RULES = (
    Rule(
        id="create-index",
        title="CREATE INDEX without CONCURRENTLY",
        condition="An index was built on an existing table under ShareLock.",
        consequence="Every INSERT, UPDATE and DELETE on the table waits until the transaction ends.",
        instead="CREATE INDEX CONCURRENTLY in an autocommit block",
        source=_CONCURRENTLY,
        example=_EXAMPLE,
        safe=_unindexed_name,
        matches=_create,
    ),
    Rule(
        id="create-index-partitioned",
        title="CREATE INDEX on a partitioned table",
        condition="An index was built on a partitioned table and all its partitions in one statement.",
        consequence="Writes to every partition wait until the last partition's index is built.",
        instead="ON ONLY the parent, CONCURRENTLY on each partition, ATTACH",
        source=_CREATE,
        example=_EXAMPLE,
        safe=_partitioned,
        matches=_create_on_parent,
    ),
    Rule(
        id="drop-index",
        title="DROP INDEX without CONCURRENTLY",
        condition="An index was dropped under AccessExclusiveLock on its table.",
        consequence="Reads and writes of the table wait until the transaction ends.",
        instead="DROP INDEX CONCURRENTLY in an autocommit block",
        source="https://www.postgresql.org/docs/current/sql-dropindex.html",
        example=Action("drop_index", name="orders_customer_id_idx"),
        safe=_drop,
        matches=_drops,
    ),
    Rule(
        id="reindex",
        title="REINDEX without CONCURRENTLY",
        condition="An index was rebuilt under ShareLock on its table and AccessExclusiveLock on the index.",
        consequence="Writes to the table wait, and so does every read whose plan considers the index.",
        instead="REINDEX … CONCURRENTLY in an autocommit block",
        source="https://www.postgresql.org/docs/current/sql-reindex.html",
        example=Action("reindex", "orders", "orders", type="table"),
        safe=_reindex,
        matches=_reindexes,
    ),
    Rule(
        id="concurrently-in-transaction",
        title="CONCURRENTLY inside a transaction",
        condition="PostgreSQL refused a CONCURRENTLY command because it ran in a transaction (25001).",
        consequence="The migration fails; Alembic runs every revision in a transaction unless told not to.",
        instead="with op.get_context().autocommit_block()",
        source=_CONCURRENTLY,
        example=replace(_EXAMPLE, flags=_CONCURRENT),
        safe=_elsewhere,
        matches=_outside,
    ),
    Rule(
        id="invalid-index",
        title="A concurrent build that failed",
        condition="A CONCURRENTLY build ended with an error.",
        consequence="It leaves an invalid index, which slows every write and may still enforce uniqueness.",
        instead="DROP INDEX CONCURRENTLY IF EXISTS, then build again",
        source=_CONCURRENTLY,
        example=replace(_EXAMPLE, flags=_CONCURRENT),
        safe=_elsewhere,
        matches=_invalid,
    ),
    Rule(
        id="if-not-exists-invalid-index",
        title="IF NOT EXISTS on an invalid index",
        condition="CREATE INDEX IF NOT EXISTS skipped an index that an earlier build had left invalid.",
        consequence="The migration reports success, but no query can use the index.",
        instead="DROP INDEX CONCURRENTLY IF EXISTS, then CREATE without IF NOT EXISTS",
        source=_CONCURRENTLY,
        example=replace(_EXAMPLE, flags=frozenset(["concurrently", "if_not_exists"])),
        safe=_unindexed_name,
        matches=_skipped,
    ),
)
