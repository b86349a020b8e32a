"""Rules about transactions, timeouts and locks as such: most need no parsed text at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.core.names import same
from harness.core.rule import (
    ACCESS_EXCLUSIVE,
    LONG_HOLD_S,
    WRITES_BLOCKED,
    Case,
    Held,
    Match,
    Rule,
    seconds,
)
from harness.core.safe_forms import autocommit, batches, execute, patient, schema, sql_table, table, word
from harness.core.shape import Action

__all__ = ["LEFT_OVER", "RULES"]

_LOCKING = "https://www.postgresql.org/docs/current/explicit-locking.html"
_TIMEOUT = "https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT"
_SET = "https://www.postgresql.org/docs/current/sql-set.html"
_ALTER = "https://www.postgresql.org/docs/current/sql-altertable.html"
_DEADLOCK = "40P01"
_CANCELLED = "55P03"
_WRITING = ("update", "delete", "insert", "merge", "copy")
_EXCLUSIVE = (
    *("add_column", "drop_column", "rename_column", "alter_type", "set_not_null", "drop_not_null"),
    *("set_default", "drop_default", "add_check", "add_unique", "add_primary_key", "drop_constraint"),
    *("rename_table", "set_schema", "drop_table", "truncate", "enable_rls", "create_policy"),
)
# What is no gap is kept: spaces within quotes mean something, and a line comment ends with its line.
_GAP = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"[^"]*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?:\s+|--[^\n]*)+""", re.DOTALL
)
_NOTICED_S = 0.1
_SHOWN = 300


def _sql(action: Action) -> str:
    return action.expression or f"ALTER TABLE {sql_table(action)} …"


def _timed(action: Action) -> str:
    return "\n".join(
        (
            "# and the whole transaction again, after a pause, when PostgreSQL says 55P03:",
            patient(execute(_sql(action))),
        )
    )


def _local(action: Action) -> str:
    setting = action.name or "lock_timeout"
    value = action.expression or "'2s'"
    return "\n".join(
        (
            "# outside a transaction for the session; given back afterwards:",
            autocommit(execute(f"SET {setting} = {value}"), execute("…"), execute(f"RESET {setting}")),
        )
    )


def _apart(action: Action) -> str:
    """`expression` is the statement that took the lock, `name` the column that is filled."""
    column = action.name or "…"
    return "\n".join(
        (
            "# one revision changes the schema, and commits:",
            patient(execute(_sql(action))),
            "# the next one fills the rows, in short transactions of their own:",
            batches(Action("update", action.relation, column), "…", f"{column} IS DISTINCT FROM …"),
        )
    )


def _one_each(action: Action) -> str:
    return "\n".join(
        (
            "# one revision per table, so that its lock goes with its commit",
            "# (context.configure(transaction_per_migration=True) in env.py):",
            patient(execute(_sql(action))),
        )
    )


def _one_alter(action: Action) -> str:
    changes = "ALTER COLUMN … TYPE …, ADD COLUMN … DEFAULT …"
    return "\n".join(
        (
            "# one ALTER TABLE with all its changes rewrites once:",
            patient(execute(f"ALTER TABLE {sql_table(action)} {changes}")),
        )
    )


def _no_lock(action: Action) -> str:
    return "\n".join(
        (
            "# leave it out: each statement takes the lock it needs; where one is meant, wait two seconds:",
            patient(execute(f"LOCK TABLE {sql_table(action)} IN SHARE ROW EXCLUSIVE MODE")),
        )
    )


def _in_order(action: Action) -> str:
    return "\n".join(
        (
            "# one busy table per transaction; tables in the order in which the service writes them:",
            patient(execute(_sql(action))),
        )
    )


def _guarded(action: Action) -> str:
    there = f"sa.inspect(op.get_bind()).get_columns({table(action)}{schema(action.relation)})"
    if action.verb == "create_index":
        there = there.replace("get_columns", "get_indexes")
    return "\n".join(
        (
            "# ask the catalog, which takes no lock that anybody waits for:",
            f"known = {{item['name'] for item in {there}}}",
            f"if {word(action.name, 'code')} not in known:",
            "    ...  # the statement without IF NOT EXISTS",
        )
    )


def _any(case: Case, relation: str | None = None) -> Action:
    """The statement itself, whether its text was understood or not; about `relation`, else what it names."""
    known = next((action.relation for action in case.traced.shape.actions if action.relation), None)
    return Action("other", relation or known, expression=_short(case.statement.sql))


def _short(sql: str) -> str:
    line = _GAP.sub(lambda gap: gap["kept"] or " ", sql.replace("%%", "%")).strip()
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"


def _no_timeout(case: Case) -> Iterator[Match]:
    if case.statement.lock_timeout_s != 0 or case.failed:
        return
    held = case.locks(*WRITES_BLOCKED) or _unseen(case)
    told = any(
        traced.statement.lock_timeout_s == 0 and Case(traced, case.past, case.sizes).locks(*WRITES_BLOCKED)
        for traced in case.traced.previous
    )
    if held and not told:
        yield case.match(_any(case, held[0].relation), *held, said="lock_timeout was 0")


def _unseen(case: Case) -> tuple[Held, ...]:
    """Outside a transaction no locks can be read; what ALTER TABLE takes is known."""
    if case.statement.transaction is not None:
        return ()
    found = (case.held(action.relation, ACCESS_EXCLUSIVE) for action in case.actions(*_EXCLUSIVE))
    return tuple(dict.fromkeys(held for held in found if held is not None))


def _unreached(case: Case) -> Iterator[Match]:
    for action in case.traced.shape.actions:
        if action.verb == "set" and "local" in action.flags and case.statement.transaction is None:
            yield case.match(action, said="it ran outside a transaction", weight="certain")


def _locked(case: Case) -> Iterator[Match]:
    for action in case.actions("lock_table"):
        mode = (action.expression or "").title().replace(" ", "") + "Lock"
        if mode in WRITES_BLOCKED and not case.failed:
            held = case.held(action.relation, mode)
            if held is not None:
                yield case.match(action, held)


def _backfill(case: Case) -> Iterator[Match]:
    for action in case.actions(*_WRITING):
        kept = case.kept(*WRITES_BLOCKED)
        took = case.statement.duration_s or 0.0
        many = (case.statement.rows or 0) > 1_000 or took > _NOTICED_S
        if kept and many and not case.failed:
            said = (
                f"{case.statement.rows:,} rows in {seconds(took)}" if case.statement.rows else seconds(took)
            )
            yield case.match(_fills(case, action), *kept[:3], said=said)


def _fills(case: Case, action: Action) -> Action:
    """The backfill's table and column, with the earlier statement that took the lock."""
    took = (t for t in case.traced.previous if Case(t, case.past, case.sizes).locks(*WRITES_BLOCKED))
    first = next((_short(traced.statement.sql) for traced in took), None)
    column = action.columns[0] if action.columns else None
    return Action("update", action.relation, column, expression=first)


def _work_after(case: Case) -> Iterator[Match]:
    kept = [held for held in case.kept(ACCESS_EXCLUSIVE) if held.measured]
    took = case.statement.duration_s or 0.0
    writing = any(action.verb in _WRITING for action in case.traced.shape.actions)
    if kept and took > _NOTICED_S and not writing:
        yield case.match(_any(case), *kept[:3], said=f"this statement took {seconds(took)}")


def _several(case: Case) -> Iterator[Match]:
    own = case.locks(ACCESS_EXCLUSIVE)
    kept = [
        held for held in case.kept(ACCESS_EXCLUSIVE) if not any(same(held.relation, o.relation) for o in own)
    ]
    if own and kept:
        yield case.match(_any(case, own[0].relation), *own, *kept)


def _rewritten_again(case: Case) -> Iterator[Match]:
    for relation in case.statement.rewrites:
        before = case.past.rewrites.get(relation, ())
        if before and not case.is_new(relation):
            numbers = ", ".join(str(statement.n) for statement in before)
            held = [item for item in case.locks(ACCESS_EXCLUSIVE) if same(item.relation, relation)]
            said = f"{relation} was rewritten by statement {numbers} as well"
            yield case.match(_any(case, relation), *held, said=said)


def _deadlocked(case: Case) -> Iterator[Match]:
    if case.statement.sqlstate == _DEADLOCK:
        yield case.match(_any(case), said=f"ended with SQLSTATE {_DEADLOCK}", weight="certain")


def _gave_up(case: Case) -> Iterator[Match]:
    if case.statement.sqlstate == _CANCELLED:
        waited = "" if case.statement.duration_s is None else f" after {seconds(case.statement.duration_s)}"
        yield case.match(_any(case), said=f"ended with SQLSTATE {_CANCELLED}{waited}", weight="note")


def _nothing_to_do(case: Case) -> Iterator[Match]:
    for action in case.actions("add_column", "create_index"):
        if "if_not_exists" not in action.flags or case.failed:
            continue
        state = case.size(action.relation)
        column = action.verb == "add_column" and state is not None and action.name in state.columns
        index = action.verb == "create_index" and any(same(name, action.name) for name in case.indexes)
        held = [item for item in case.locks(*WRITES_BLOCKED) if same(item.relation, action.relation)]
        if (column or index) and held:
            yield case.match(action, *held, said=f"{action.name} was there already")


def _held_long(case: Case) -> Iterator[Match]:
    held = case.locks(*WRITES_BLOCKED)
    if held and (case.blocked_long or (held[0].hold_s or 0.0) > LONG_HOLD_S):
        yield case.match(_any(case, held[0].relation), *held)
    elif case.blocked_long and not held:
        yield case.match(_any(case), *case.kept(*WRITES_BLOCKED))


_ORDERS = Action("other", "orders")

RULES = (
    Rule(
        id="no-lock-timeout",
        title="No lock_timeout",
        condition="A statement took a lock that stops reads or writes while lock_timeout was 0.",
        consequence="It waits behind a long transaction without end, and all who come later wait behind it.",
        instead="SET LOCAL lock_timeout, and another try",
        source=_TIMEOUT,
        example=_ORDERS,
        safe=_timed,
        matches=_no_timeout,
    ),
    Rule(
        id="lock-timeout-reached",
        title="lock_timeout reached",
        condition="A statement gave up waiting for its lock (55P03).",
        consequence="It waited in front of others for that long; without another try the migration fails.",
        instead="another try after a pause",
        source=_TIMEOUT,
        example=_ORDERS,
        safe=_timed,
        matches=_gave_up,
    ),
    Rule(
        id="set-local-outside-transaction",
        title="SET LOCAL outside a transaction",
        condition="SET LOCAL ran outside a transaction, as in an autocommit block.",
        consequence="It has no effect: the statements after it run without the timeout that was meant.",
        instead="SET for the session, RESET afterwards",
        source=_SET,
        example=Action("set", name="lock_timeout", expression="'2s'"),
        safe=_local,
        matches=_unreached,
    ),
    Rule(
        id="lock-table",
        title="LOCK TABLE",
        condition="The migration locked a table by hand in a mode that stops reads or writes.",
        consequence="They wait until the transaction ends, whatever it does meanwhile.",
        instead="leave it out",
        source=f"{_LOCKING}#LOCKING-TABLES",
        example=Action("lock_table", "orders"),
        safe=_no_lock,
        matches=_locked,
    ),
    Rule(
        id="backfill-with-ddl",
        title="A backfill in the transaction of a schema change",
        condition="Rows were written while the transaction kept a lock that an earlier statement had taken.",
        consequence="The lock of a statement of milliseconds lasts as long as the backfill.",
        instead="a revision for the schema, another for the rows",
        source=f"{_LOCKING}#LOCKING-TABLES",
        example=_ORDERS,
        safe=_apart,
        matches=_backfill,
    ),
    Rule(
        id="work-after-exclusive-lock",
        title="Slow work under a lock that was taken before",
        condition="A slow statement ran while the transaction kept AccessExclusiveLock from an earlier one.",
        consequence="Reads and writes of the locked table wait for work that has nothing to do with it.",
        instead="one transaction for each",
        source=f"{_LOCKING}#LOCKING-TABLES",
        example=_ORDERS,
        safe=_one_each,
        matches=_work_after,
    ),
    Rule(
        id="several-exclusive-locks",
        title="AccessExclusiveLock on several tables in one transaction",
        condition="A transaction took AccessExclusiveLock on a table while it kept one on another.",
        consequence="The holds add up, and a client that takes the tables in another order deadlocks.",
        instead="one table per transaction",
        source=f"{_LOCKING}#LOCKING-DEADLOCKS",
        example=_ORDERS,
        safe=_one_each,
        matches=_several,
    ),
    Rule(
        id="several-rewrites",
        title="One table rewritten more than once",
        condition="Statements of one migration rewrote the same table again.",
        consequence="Reads and writes wait for each rewrite; ALTER TABLE does many changes in one.",
        instead="one ALTER TABLE with all changes",
        source=_ALTER,
        example=_ORDERS,
        safe=_one_alter,
        matches=_rewritten_again,
    ),
    Rule(
        id="if-not-exists-locks",
        title="IF NOT EXISTS with nothing to do",
        condition="IF NOT EXISTS found nothing to do and still took its lock.",
        consequence="Who comes meanwhile waits for nothing at all.",
        instead="ask the catalog first",
        source=f"{_LOCKING}#LOCKING-TABLES",
        example=Action("add_column", "orders", "code"),
        safe=_guarded,
        matches=_nothing_to_do,
    ),
    Rule(
        id="deadlock",
        title="Deadlock",
        condition="PostgreSQL ended a statement of the migration to resolve a deadlock (40P01).",
        consequence="The migration fails; the next time the victim may be a client.",
        instead="one busy table per transaction, in the order of the service",
        source=f"{_LOCKING}#LOCKING-DEADLOCKS",
        example=_ORDERS,
        safe=_in_order,
        matches=_deadlocked,
    ),
)

LEFT_OVER = (
    Rule(
        id="blocking-lock",
        title="A lock that others waited for",
        condition="A statement stopped reads or writes for over 0.5 s, or sessions waited for it.",
        consequence="Reads or writes of the table wait until the transaction ends.",
        instead="one change per transaction, with a lock_timeout",
        source=f"{_LOCKING}#LOCKING-TABLES",
        example=_ORDERS,
        safe=_one_each,
        matches=_held_long,
    ),
)
"""Asked only where no other rule made a finding: the text was not understood, or no rule is about it."""
