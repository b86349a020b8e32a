"""Rules about rows that a migration writes."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.names import same
from harness.core.rule import SMALL_ROWS, Case, Match, Rule, seconds
from harness.core.safe_forms import autocommit, batch_loop, execute, sql_table
from harness.core.shape import Action

__all__ = ["RULES"]

_MVCC = "https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-SPACE-RECOVERY"
_ROW_LOCKS = "https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-ROWS"


def _update(action: Action) -> str:
    if action.verb == "delete":
        return _delete(action)
    name, columns = sql_table(action), action.columns or ("column",)
    assigned = ", ".join(f"{column} = …" for column in columns)
    unfilled = f"{columns[0]} IS DISTINCT FROM …"
    condition = f"({action.expression}) AND {unfilled}" if action.expression else unfilled
    return batch_loop(f"UPDATE {name} SET {assigned}", name, condition)  # noqa: S608 - printed only


def _delete(action: Action) -> str:
    name = sql_table(action)
    return batch_loop(f"DELETE FROM {name}", name, action.expression or "true")  # noqa: S608 - printed only


def _copy(action: Action) -> str:
    name = sql_table(action)
    return "\n".join(
        (
            "# a range of keys at a time, each in its own transaction:",
            autocommit(
                execute(f"INSERT INTO {name} SELECT … WHERE id BETWEEN … AND … ON CONFLICT DO NOTHING")
            ),
        )
    )


def _many(case: Case, *verbs: str) -> Iterator[Match]:
    batched = case.statement.executions > 1 and case.statement.transaction is None
    if case.failed or batched:
        return
    for action in case.actions(*verbs):
        rows, took = case.statement.rows, case.statement.duration_s or 0.0
        alone = len(case.traced.shape.actions) == 1
        every = "all_rows" in action.flags and case.is_big(action.relation)
        if not every and not (alone and (rows or 0) > SMALL_ROWS):
            continue
        told = (
            f"{rows:,} rows in {seconds(took)}" if rows is not None and alone else f"it took {seconds(took)}"
        )
        yield case.match(action, said=told)


def _kept_together(case: Case) -> Iterator[Match]:
    """Batches that add up to more than 10,000 rows in one transaction; told of the one that makes it more."""
    for action in case.actions("update", "delete", "merge"):
        if case.failed or len(case.traced.shape.actions) != 1:
            continue
        before = [
            traced.statement.rows or 0
            for traced in case.traced.previous
            if any(a.verb == action.verb and same(a.relation, action.relation) for a in traced.shape.actions)
        ]
        rows = case.statement.rows or 0
        if max(before, default=SMALL_ROWS) < SMALL_ROWS and sum(before) <= SMALL_ROWS < sum(before) + rows:
            said = f"{sum(before) + rows:,} rows by {len(before) + 1} statements of one transaction"
            yield case.match(action, said=said)


def _updated(case: Case) -> Iterator[Match]:
    yield from _many(case, "update", "merge")


def _deleted(case: Case) -> Iterator[Match]:
    yield from _many(case, "delete")


def _inserted(case: Case) -> Iterator[Match]:
    yield from _many(case, "insert")


_SET = Action("update", "orders", columns=("status",))

RULES = (
    Rule(
        id="update-without-batches",
        title="UPDATE of a whole table at once",
        condition="One UPDATE changed every row of a table that is not small, or more than 10,000 rows.",
        consequence="Every changed row is locked until the commit; the table bloats, replicas fall behind.",
        instead="batches of some thousand rows, each its own transaction",
        source=_ROW_LOCKS,
        example=_SET,
        safe=_update,
        matches=_updated,
    ),
    Rule(
        id="batches-in-one-transaction",
        title="Batches in one transaction",
        condition="Batches of one transaction changed more than 10,000 rows of a table together.",
        consequence="Only a commit gives row locks back: to others it is one big statement.",
        instead="an autocommit block, so that every batch commits",
        source=_ROW_LOCKS,
        example=_SET,
        safe=_update,
        matches=_kept_together,
    ),
    Rule(
        id="delete-without-batches",
        title="DELETE of many rows at once",
        condition="One DELETE removed every row of a table that is not small, or more than 10,000 rows.",
        consequence="Every removed row is locked until the commit; its space is free only after a VACUUM.",
        instead="batches of some thousand rows, each its own transaction",
        source=_MVCC,
        example=Action("delete", "orders"),
        safe=_delete,
        matches=_deleted,
    ),
    Rule(
        id="insert-without-batches",
        title="INSERT of many rows at once",
        condition="One INSERT wrote more than 10,000 rows into an existing table.",
        consequence="Rows that it read may change unseen meanwhile, and replicas fall behind by its length.",
        instead="batches of some thousand rows, each its own transaction",
        source=_ROW_LOCKS,
        example=Action("insert", "orders"),
        safe=_copy,
        matches=_inserted,
    ),
)
