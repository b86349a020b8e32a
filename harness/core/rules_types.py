"""Rules about changes of a column's type."""

from __future__ import annotations

from harness.core.names import last_part, quoted, same
from harness.core.rule import Case, Rule, asks
from harness.core.safe_forms import batches, execute, kept_by_trigger, patient, sql_column, sql_table
from harness.core.shape import Action

__all__ = ["RULES"]

_NOTES = "https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES"


def _retype(action: Action) -> str:
    name, column = sql_table(action), sql_column(action)
    new = quoted(f"{last_part(column)}_new")
    kind = action.type or "bigint"
    # Assigned without a cast, a value that does not fit fails, as in ALTER TYPE; a cast would cut it off.
    value, compared = action.expression or column, action.expression or f"{column}::{kind}"
    return "\n".join(
        (
            "# a new column that a trigger keeps equal, a backfill, and in a later release the swap:",
            patient(
                execute(f"ALTER TABLE {name} ADD COLUMN {new} {kind}"), kept_by_trigger(action, new, value)
            ),
            batches(Action("update", name, new), value, f"{new} IS DISTINCT FROM {compared}"),
        )
    )


def _utc(action: Action) -> str:
    sql = f"ALTER TABLE {sql_table(action)} ALTER COLUMN {sql_column(action)} TYPE timestamptz"
    return "\n".join(
        (
            "# if the column's times are meant in UTC:",
            patient(execute("SET LOCAL TimeZone = 'UTC'"), execute(sql)),
        )
    )


def _unchecked(action: Action) -> str:
    name = sql_table(action)
    change = f"ALTER COLUMN {sql_column(action)} TYPE {action.type or 'text'}"
    return "\n".join(
        (
            "# drop the indexes and CHECKs on the column first; afterwards CONCURRENTLY and NOT VALID:",
            patient(execute(f"ALTER TABLE {name} {change}")),
        )
    )


def _list_columns(action: Action) -> str:
    change = f"ALTER COLUMN {sql_column(action)} TYPE {action.type or 'text'}"
    return "\n".join(
        (
            "# connections that prepared a statement on the column fail once (0A000): let the service",
            "# reconnect, or set prepare_threshold=None (psycopg), statement_cache_size=0 (asyncpg)",
            patient(execute(f"ALTER TABLE {sql_table(action)} {change}")),
        )
    )


def _timestamptz(kind: str | None) -> bool:
    return (kind or "").lower() in ("timestamptz", "timestamp with time zone") or (
        (kind or "").lower().startswith("timestamp") and (kind or "").lower().endswith("with time zone")
    )


def _zoned(case: Case, action: Action) -> bool:
    return _timestamptz(action.type) and "using" not in action.flags and case.rewrote(action.relation)


def _retyped(case: Case, action: Action) -> bool:
    return case.rewrote(action.relation) and not _zoned(case, action)


def _verified(case: Case, action: Action) -> bool:
    rebuilt = any(
        lock.relation in case.statement.rebuilt and same(lock.of, action.relation)
        for lock in case.statement.locks
    )
    return not case.rewrote(action.relation) and (case.scanned(action.relation) or rebuilt)


def _instant(case: Case, action: Action) -> bool:
    return not case.rewrote(action.relation) and not _verified(case, action)


def _example(kind: str) -> Action:
    return Action("alter_type", "orders", "code", columns=("code",), type=kind)


RULES = (
    Rule(
        id="alter-type-rewrite",
        title="ALTER COLUMN TYPE that rewrites the table",
        condition="A column's type was changed and the table with its indexes rewritten.",
        consequence="Reads and writes wait for the rewrite; afterwards the planner's statistics are gone.",
        instead="a new column kept equal by a trigger, filled in batches, swapped later",
        source=_NOTES,
        example=_example("bigint"),
        safe=_retype,
        matches=asks("alter_type", also=_retyped),
    ),
    Rule(
        id="alter-type-timestamptz",
        title="timestamp → timestamptz with a session TimeZone that is not UTC",
        condition="A timestamp column became timestamptz and the table was rewritten.",
        consequence="Reads and writes wait for a rewrite that a session in UTC does not need.",
        instead="SET LOCAL TimeZone = 'UTC', if that is what is meant",
        source="https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-TIMEZONES",
        example=_example("timestamptz"),
        safe=_utc,
        matches=asks("alter_type", also=_zoned),
    ),
    Rule(
        id="alter-type-scan",
        title="ALTER COLUMN TYPE that reads the table or rebuilds an index",
        condition="A column's type was changed without a rewrite, but a CHECK or an index was gone through.",
        consequence="Reads and writes wait for the scan or the build.",
        instead="drop the CHECKs and indexes on it first, add them again the gentle way",
        source=_NOTES,
        example=_example("text"),
        safe=_unchecked,
        matches=asks("alter_type", also=_verified),
    ),
    Rule(
        id="alter-type-cached-plan",
        title="ALTER COLUMN TYPE under prepared statements",
        condition="A column's type was changed at once, without a rewrite.",
        consequence="Prepared statements that return it fail: cached plan must not change result type.",
        instead="let connections be renewed, or prepare no statements",
        source="https://www.postgresql.org/docs/current/sql-prepare.html",
        example=_example("text"),
        safe=_list_columns,
        matches=asks("alter_type", also=_instant, weight="note"),
    ),
)
