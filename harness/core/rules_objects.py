"""Rules about views, triggers, row-level security, sequences and types."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.names import last_part, parts, quoted, same
from harness.core.rule import (
    ACCESS_EXCLUSIVE,
    READS_BLOCKED,
    SHARE_ROW_EXCLUSIVE,
    Case,
    Held,
    Match,
    Rule,
    asks,
)
from harness.core.safe_forms import autocommit, execute, patient, sql_table
from harness.core.shape import Action

__all__ = ["RULES"]

_TRIGGER = "https://www.postgresql.org/docs/current/sql-createtrigger.html"
_ROW_SECURITY = "https://www.postgresql.org/docs/current/ddl-rowsecurity.html"
_ALTER_TYPE = "https://www.postgresql.org/docs/current/sql-altertype.html"
_UNSAFE_NEW_VALUE = "55P04"


def _refresh(action: Action) -> str:
    view = sql_table(action)
    return "\n".join(
        (
            "# it needs a unique index of plain columns over all rows; once:",
            autocommit(
                execute(f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(last_part(view) + '_key')} ON {view} (id)")
            ),
            "# then each time:",
            autocommit(execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}")),
        )
    )


def _trigger(action: Action) -> str:
    name = action.name or "trigger"
    return "\n".join(
        (
            "# in a transaction of its own, to be tried again when the lock is not to be had:",
            patient(
                execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {sql_table(action)} … EXECUTE FUNCTION …()")
            ),
        )
    )


def _drop_trigger(action: Action) -> str:
    kind = "RULE" if action.verb == "create_rule" else "TRIGGER"
    return "\n".join(
        (
            "# in a transaction of its own, to be tried again when the lock is not to be had:",
            patient(execute(f"DROP {kind} {action.name or 'trigger'} ON {sql_table(action)}")),
        )
    )


def _keep_trigger(_: Action) -> str:
    return "\n".join(
        (
            "# leave it enabled; let its function pass over this session, and nobody else's:",
            "#     IF current_setting('app.migrating', true) = 'on' THEN RETURN NEW; END IF;",
            execute("SET LOCAL app.migrating = 'on'"),
        )
    )


def _policy_first(action: Action) -> str:
    name = sql_table(action)
    return patient(
        execute(f"CREATE POLICY {quoted(last_part(name) + '_own')} ON {name} USING (tenant_id = …)"),
        execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"),
    )


def _policy(action: Action) -> str:
    verb = "DROP" if action.verb == "drop_policy" else "ALTER" if "replace" in action.flags else "CREATE"
    rest = "" if verb == "DROP" else f" {action.expression or 'USING (…)'}"
    sql = f"{verb} POLICY {action.name or 'own'} ON {sql_table(action)}{rest}"
    return "\n".join(
        (
            "# in a transaction of its own, to be tried again when the lock is not to be had:",
            patient(execute(sql)),
        )
    )


def _view(action: Action) -> str:
    name = sql_table(action)
    new = ".".join((*(quoted(part) for part in parts(name)[:-1]), quoted(f"{last_part(name)}_v2")))
    return "\n".join(
        (
            "# a view of a new name for the new release; the old one goes when no code reads it:",
            "# with the options of the old one, as WITH (security_invoker = true), and its grants",
            execute(f"CREATE VIEW {new} AS SELECT …"),
        )
    )


def _sequence(action: Action) -> str:
    change = action.expression or "AS bigint"
    return "\n".join(
        (
            "# in a transaction of its own, never before a backfill:",
            patient(execute(f"ALTER SEQUENCE {sql_table(action)} {change}")),
        )
    )


def _add_value(action: Action) -> str:
    value = action.name or "'new'"
    rest = f" {action.rest}" if action.rest else ""
    added = f"ALTER TYPE {sql_table(action)} ADD VALUE IF NOT EXISTS {value}{rest}"
    return "\n".join(
        (
            "# committed by itself before a statement uses the value:",
            autocommit(execute(added)),
        )
    )


def _new_value(action: Action) -> str:
    return "\n".join(
        (
            "# add the new value, let the code read both, write the new one, fill the old rows in batches:",
            _add_value(action),
        )
    )


def _disabled(case: Case) -> Iterator[Match]:
    yield from asks("disable_trigger", "enable_trigger", modes=(SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE))(case)


def _without_policy(case: Case) -> Iterator[Match]:
    for action in case.actions("enable_rls"):
        made = case.before("create_policy")
        state = case.size(action.relation)
        if any(same(item.relation, action.relation) for item in made) or (state and state.policies):
            continue
        held = case.held(action.relation, *READS_BLOCKED)
        if held is not None:
            yield case.match(action, held, said=f"{action.relation} has no policy", weight="certain")


def _replaced(case: Case) -> Iterator[Match]:
    for action in case.actions("create_view"):
        was_there = case.size(action.relation) is not None
        held = case.held(action.relation, *READS_BLOCKED, sure=False)
        if "replace" in action.flags and held is not None and (was_there or not case.sizes):
            yield case.match(action, held, weight="note")


def _altered_sequence(case: Case) -> Iterator[Match]:
    for action in case.actions("alter_sequence"):
        for lock in case.statement.locks:
            if lock.kind != "S" or not same(lock.relation, action.relation):
                continue
            if lock.mode not in (SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE) or (lock.of and case.is_new(lock.of)):
                continue
            held = Held(lock.relation, lock.mode, lock.hold_s)
            if case.gentle(held):
                continue
            match = case.match(action, held)
            yield Match(action, (lock.of or lock.relation,), match.evidence, match.hold_s)


def _too_early(case: Case) -> Iterator[Match]:
    if case.statement.sqlstate != _UNSAFE_NEW_VALUE:
        return
    before = case.before_in_transaction("add_enum_value")
    added = next(iter(before), None) or Action("add_enum_value")
    yield case.match(added, said=f"refused with SQLSTATE {_UNSAFE_NEW_VALUE}", weight="certain")


def _renamed_value(case: Case) -> Iterator[Match]:
    for action in case.actions("rename_enum_value"):
        if not case.failed:
            said = f"{action.columns[0]} is {action.name} from the commit on" if action.columns else ""
            yield case.match(action, said=said, weight="certain")


RULES = (
    Rule(
        id="refresh-matview",
        title="REFRESH MATERIALIZED VIEW without CONCURRENTLY",
        condition="A materialized view was refreshed under AccessExclusiveLock.",
        consequence="Whoever reads the view waits until its query has run and the transaction has ended.",
        instead="a unique index and REFRESH … CONCURRENTLY",
        source="https://www.postgresql.org/docs/current/sql-refreshmaterializedview.html",
        example=Action("refresh_matview", "sales_by_day"),
        safe=_refresh,
        matches=asks("refresh_matview", without=frozenset(["concurrently"])),
    ),
    Rule(
        id="create-trigger",
        title="CREATE TRIGGER",
        condition="A trigger was created on an existing table under ShareRowExclusiveLock.",
        consequence="Writes wait until the transaction ends, and queue behind every open transaction.",
        instead="in a transaction of its own, with a lock_timeout and another try",
        source=_TRIGGER,
        example=Action("create_trigger", "orders", "orders_touch"),
        safe=_trigger,
        matches=asks("create_trigger", modes=(SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE), gently="nothing"),
    ),
    Rule(
        id="drop-trigger",
        title="DROP TRIGGER or CREATE RULE",
        condition="A trigger was dropped, or a rule created, under AccessExclusiveLock on its table.",
        consequence="Reads and writes wait until the transaction ends.",
        instead="in a transaction of its own, with a lock_timeout and another try",
        source="https://www.postgresql.org/docs/current/sql-droptrigger.html",
        example=Action("drop_trigger", "orders", "orders_touch"),
        safe=_drop_trigger,
        matches=asks("drop_trigger", "create_rule", gently="nothing"),
    ),
    Rule(
        id="disable-trigger",
        title="DISABLE or ENABLE TRIGGER",
        condition="A trigger of an existing table was switched under ShareRowExclusiveLock.",
        consequence="Writes wait; and while it is disabled, nobody's writes pass through it.",
        instead="a function that passes over the migration's session",
        source="https://www.postgresql.org/docs/current/sql-altertable.html",
        example=Action("disable_trigger", "orders", "orders_touch"),
        safe=_keep_trigger,
        matches=_disabled,
    ),
    Rule(
        id="enable-row-security",
        title="ENABLE ROW LEVEL SECURITY without a policy",
        condition="Row-level security was enabled on a table that has no policy.",
        consequence="Every role but the owner sees no rows and may write none from the commit on.",
        instead="the policy first, in the same transaction",
        source=_ROW_SECURITY,
        example=Action("enable_rls", "orders"),
        safe=_policy_first,
        matches=_without_policy,
    ),
    Rule(
        id="create-policy",
        title="CREATE, ALTER or DROP POLICY",
        condition="A policy of an existing table was changed under AccessExclusiveLock.",
        consequence="Reads and writes wait until the transaction ends.",
        instead="in a transaction of its own, with a lock_timeout and another try",
        source="https://www.postgresql.org/docs/current/sql-createpolicy.html",
        example=Action("create_policy", "orders", "orders_own"),
        safe=_policy,
        matches=asks("create_policy", "drop_policy", gently="nothing"),
    ),
    Rule(
        id="replace-view",
        title="CREATE OR REPLACE VIEW",
        condition="A view in use was replaced under AccessExclusiveLock on it.",
        consequence="Its readers wait; options that are not repeated, as security_invoker, are lost.",
        instead="a view of a new name",
        source="https://www.postgresql.org/docs/current/sql-createview.html",
        example=Action("create_view", "open_orders"),
        safe=_view,
        matches=_replaced,
    ),
    Rule(
        id="alter-sequence",
        title="ALTER SEQUENCE",
        condition="A sequence in use was altered; its lock is kept until the transaction ends.",
        consequence="Every INSERT that takes a number from it waits, with no lock on the table to be seen.",
        instead="in a transaction of its own, committed at once",
        source="https://www.postgresql.org/docs/current/sql-altersequence.html",
        example=Action("alter_sequence", "orders_id_seq"),
        safe=_sequence,
        matches=_altered_sequence,
    ),
    Rule(
        id="enum-value-same-transaction",
        title="A new enum value used in its own transaction",
        condition="A value added by ALTER TYPE … ADD VALUE was used in the same transaction (55P04).",
        consequence="PostgreSQL refuses, and the migration fails.",
        instead="ADD VALUE in an autocommit block, used after it",
        source=_ALTER_TYPE,
        example=Action("add_enum_value", "order_status", "'lost'"),
        safe=_add_value,
        matches=_too_early,
    ),
    Rule(
        id="rename-enum-value",
        title="ALTER TYPE … RENAME VALUE",
        condition="A value of an enum was renamed.",
        consequence="The running release's queries that write or compare the old value fail (22P02).",
        instead="a new value, code that reads both, a backfill",
        source=_ALTER_TYPE,
        example=Action("rename_enum_value", "order_status", "'settled'", ("'paid'",)),
        safe=_new_value,
        matches=_renamed_value,
    ),
)
