"""Rules about columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.core.names import last_part, parts, quoted
from harness.core.rule import READS_BLOCKED, Case, Match, Rule, asks
from harness.core.rules_indexes import create_index, drop_index_first
from harness.core.safe_forms import (
    autocommit,
    batches,
    execute,
    kept_by_trigger,
    patient,
    schema,
    sql_column,
    sql_table,
    table,
    word,
)
from harness.core.shape import Action

__all__ = ["RULES", "add_column_alone", "not_null_in_steps"]

_ALTER = "https://www.postgresql.org/docs/current/sql-altertable.html"
_NOTES = f"{_ALTER}#SQL-ALTERTABLE-NOTES"
_NOT_NULL_VIOLATION = "23502"
_OWN_RULE = frozenset(["identity", "serial", "stored"])


def _add_nullable(action: Action, *more: str) -> str:
    name, column = sql_table(action), sql_column(action)
    return patient(execute(f"ALTER TABLE {name} ADD COLUMN {column} {action.type or 'bigint'}"), *more)


def add_column_alone(action: Action) -> str:
    """The column with its type, and with the default and NOT NULL that need no rewrite."""
    lasting = action.default is not None and bool({"constant_default", "stable_default"} & action.flags)
    default = f" DEFAULT {action.default}" if lasting else ""
    filled = " NOT NULL" if lasting and "not_null" in action.flags else ""
    kind = action.type or "bigint"
    added = f"ALTER TABLE {sql_table(action)} ADD COLUMN {sql_column(action)} {kind}{default}{filled}"
    return patient(execute(added))


def not_null_in_steps(action: Action) -> str:
    """NOT NULL proved by a validated CHECK, so that no scan runs under a lock."""
    name, column = sql_table(action), sql_column(action)
    check = quoted(f"{last_part(name)}_{last_part(column)}_not_null"[:63])
    return "\n".join(
        (
            patient(
                execute(f"ALTER TABLE {name} ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID")
            ),
            autocommit(execute(f"ALTER TABLE {name} VALIDATE CONSTRAINT {check}")),
            patient(
                execute(f"ALTER TABLE {name} ALTER COLUMN {column} SET NOT NULL"),
                execute(f"ALTER TABLE {name} DROP CONSTRAINT {check}"),
            ),
        )
    )


def _volatile(action: Action) -> str:
    name, column = sql_table(action), sql_column(action)
    default = action.default or "gen_random_uuid()"
    steps = (
        _add_nullable(action, execute(f"ALTER TABLE {name} ALTER COLUMN {column} SET DEFAULT {default}")),
        batches(action, default, f"{column} IS NULL"),
    )
    return "\n".join((*steps, *([not_null_in_steps(action)] if "not_null" in action.flags else [])))


def _serial(action: Action) -> str:
    name, column = sql_table(action), sql_column(action)
    own = quoted(f"{last_part(name)}_{last_part(column)}_seq"[:63])
    sequence = ".".join((*(quoted(part) for part in parts(name)[:-1]), own))
    kind = "smallint" if (action.type or "").startswith("small") else "bigint"
    default = "nextval('{}')".format(sequence.replace("'", "''"))
    return "\n".join(
        (
            patient(
                execute(f"ALTER TABLE {name} ADD COLUMN {column} {kind}"),
                execute(f"CREATE SEQUENCE {sequence} OWNED BY {name}.{column}"),
                execute(f"ALTER TABLE {name} ALTER COLUMN {column} SET DEFAULT {default}"),
            ),
            batches(action, default, f"{column} IS NULL"),
            not_null_in_steps(action),
        )
    )


def _generated(action: Action) -> str:
    column = sql_column(action)
    expression = action.expression or "quantity * 2"
    return "\n".join(
        (
            "# PostgreSQL 18 computes it when read, without a rewrite: GENERATED ALWAYS AS (…) VIRTUAL.",
            "# Before: a plain column that a trigger keeps, then a backfill.",
            _add_nullable(action),
            kept_by_trigger(action, column, expression),
            batches(action, expression, f"{column} IS DISTINCT FROM ({expression})"),
        )
    )


def _not_null(action: Action) -> str:
    name, column = sql_table(action), sql_column(action)
    kind = action.type or "bigint"
    return patient(execute(f"ALTER TABLE {name} ADD COLUMN {column} {kind} NOT NULL DEFAULT …"))


def _unique(action: Action) -> str:
    column = sql_column(action)
    primary = "primary_key" in action.flags
    owner = last_part(sql_table(action))
    name = f"{owner}_pkey"[:63] if primary else f"{owner}_{last_part(column)}_key"[:63]
    index = Action("create_index", action.relation, name, (column,), flags=frozenset(["unique"]))
    kind = "PRIMARY KEY" if primary else "UNIQUE"
    using = f"ADD CONSTRAINT {quoted(name)} {kind} USING INDEX {quoted(name)}"
    filled = ("# fill it in batches; then:", not_null_in_steps(action)) if primary else ()
    return "\n".join(
        (
            _add_nullable(action),
            *filled,
            autocommit(drop_index_first(index), create_index(index)),
            patient(execute(f"ALTER TABLE {sql_table(action)} {using}")),
        )
    )


def _references(action: Action) -> str:
    name, column = sql_table(action), sql_column(action)
    key = quoted(f"{last_part(name)}_{last_part(column)}_fkey"[:63])
    rest = f" {action.rest}" if action.rest else ""
    foreign = f"FOREIGN KEY ({column}) REFERENCES {action.references or 'parent'}{rest} NOT VALID"
    return "\n".join(
        (
            add_column_alone(action),
            "# in a revision of its own:",
            patient(execute(f"ALTER TABLE {name} ADD CONSTRAINT {key} {foreign}")),
            "# in another revision:",
            autocommit(execute(f"ALTER TABLE {name} VALIDATE CONSTRAINT {key}")),
        )
    )


def _drop(action: Action) -> str:
    column = word(action.name, "column")
    return "\n".join(
        (
            "# one release after no code names the column any more:",
            patient(f"op.drop_column({table(action)}, {column}{schema(action.relation)})"),
        )
    )


def _rename(action: Action) -> str:
    name = sql_table(action)
    old, new = (action.columns or ("old",))[0], action.name or "new"
    return "\n".join(
        (
            "# add the new column, write both, fill it, read the new one, then drop the old one:",
            patient(execute(f"ALTER TABLE {name} ADD COLUMN {new} …")),
            batches(Action("update", name, new), old, f"{new} IS DISTINCT FROM {old}"),
        )
    )


def _jsonb(action: Action) -> str:
    return add_column_alone(replace(action, type="jsonb"))


def _rewritten(*having: str) -> Callable[[Case, Action], bool]:
    return lambda case, action: bool(action.flags & set(having)) and case.rewrote(action.relation)


def _volatile_default(case: Case, action: Action) -> bool:
    unsure = action.default is not None and not {"constant_default", "stable_default"} & action.flags
    return unsure and not _OWN_RULE & action.flags and case.rewrote(action.relation)


def _other_rewrite(case: Case, action: Action) -> bool:
    own = _OWN_RULE & action.flags or _volatile_default(case, action)
    others = {"alter_type", "set_logged", "set_unlogged", "set_tablespace"}
    alone = not any(item.verb in others or item.flags & _OWN_RULE for item in case.traced.shape.actions)
    return alone and not own and case.rewrote(action.relation)


def _without_default(case: Case) -> Iterator[Match]:
    for action in case.actions("add_column"):
        filled = action.default is not None or action.flags & {"identity", "serial", "stored", "virtual"}
        if "not_null" not in action.flags or filled:
            continue
        if case.statement.sqlstate == _NOT_NULL_VIOLATION:
            yield case.match(action, said=f"failed with SQLSTATE {_NOT_NULL_VIOLATION}", weight="certain")
            continue
        held = case.held(action.relation, *READS_BLOCKED, sure="if_not_exists" not in action.flags)
        if held is not None and not case.failed:
            yield case.match(action, held)


def _scanned(case: Case, action: Action) -> bool:
    return case.scanned(action.relation)


def _column(verb: str = "add_column", **fields: str) -> Action:
    return Action(verb, "orders", "code", columns=("code",), **fields)  # type: ignore[arg-type]


RULES = (
    Rule(
        id="add-column-volatile-default",
        title="ADD COLUMN with a volatile default",
        condition="A column was added with a default that PostgreSQL computes row by row: a rewrite.",
        consequence="Reads and writes wait while every row and every index of the table is written anew.",
        instead="add it without a default, SET DEFAULT, fill it in batches",
        source=_NOTES,
        example=_column(type="uuid", default="gen_random_uuid()"),
        safe=_volatile,
        matches=asks("add_column", also=_volatile_default),
    ),
    Rule(
        id="add-column-serial",
        title="ADD COLUMN serial",
        condition="A serial column was added to an existing table, which was rewritten.",
        consequence="Reads and writes wait while every row gets its number and every index is rebuilt.",
        instead="a nullable bigint, a sequence as its default, a backfill, NOT NULL in steps",
        source="https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-SERIAL",
        example=_column(type="bigserial"),
        safe=_serial,
        matches=asks("add_column", also=_rewritten("serial")),
    ),
    Rule(
        id="add-column-identity",
        title="ADD COLUMN … AS IDENTITY",
        condition="An identity column was added to an existing table, which was rewritten.",
        consequence="Reads and writes wait while every row gets its number and every index is rebuilt.",
        instead="a nullable bigint, a sequence as its default, a backfill, NOT NULL in steps",
        source=_NOTES,
        example=_column(type="bigint"),
        safe=_serial,
        matches=asks("add_column", also=_rewritten("identity")),
    ),
    Rule(
        id="add-column-stored-generated",
        title="ADD COLUMN … GENERATED … STORED",
        condition="A stored generated column was added to an existing table, which was rewritten.",
        consequence="Reads and writes wait while its value is computed and written for every row.",
        instead="a plain column kept by a trigger, filled in batches; VIRTUAL from PostgreSQL 18",
        source="https://www.postgresql.org/docs/current/ddl-generated-columns.html",
        example=_column(type="bigint", expression="quantity * 2"),
        safe=_generated,
        matches=asks("add_column", also=_rewritten("stored")),
    ),
    Rule(
        id="add-column-rewrite",
        title="ADD COLUMN that rewrote the table",
        condition="A column was added and the table rewritten: a domain with a constraint does that.",
        consequence="Reads and writes wait while every row and every index of the table is written anew.",
        instead="add it without a default, SET DEFAULT, fill it in batches",
        source=_NOTES,
        example=_column(type="positive_integer"),
        safe=_volatile,
        matches=asks("add_column", also=_other_rewrite),
    ),
    Rule(
        id="add-column-not-null",
        title="ADD COLUMN NOT NULL without a default",
        condition="A NOT NULL column was added without a default.",
        consequence="It fails where there are rows; later the running release's INSERTs fail (23502).",
        instead="a constant default, or nullable first",
        source=_ALTER,
        example=_column(type="text"),
        safe=_not_null,
        matches=_without_default,
    ),
    Rule(
        id="add-column-unique",
        title="ADD COLUMN UNIQUE or PRIMARY KEY",
        condition="A column was added with UNIQUE or PRIMARY KEY; its index was built under the lock.",
        consequence="Reads and writes wait while the whole table is read and indexed.",
        instead="the column, a unique index CONCURRENTLY, ADD CONSTRAINT … USING INDEX",
        source=_ALTER,
        example=_column(type="text"),
        safe=_unique,
        matches=asks("add_column", also=lambda _, action: bool(action.flags & {"unique", "primary_key"})),
    ),
    Rule(
        id="add-column-references",
        title="ADD COLUMN REFERENCES",
        condition="A column was added with a foreign key: AccessExclusiveLock here, a lock on the parent.",
        consequence="Reads and writes of the table and writes of the parent wait until the transaction ends.",
        instead="the column, the key NOT VALID, VALIDATE in another transaction",
        source=_ALTER,
        example=Action(
            "add_column", "orders", "customer_id", ("customer_id",), "bigint", references="customers"
        ),
        safe=_references,
        matches=asks("add_column", having=frozenset(["references"])),
    ),
    Rule(
        id="add-column-json",
        title="ADD COLUMN json",
        condition="A column of type json was added.",
        consequence="json has no equality: SELECT DISTINCT and UNION over the table's rows begin to fail.",
        instead="jsonb",
        source="https://www.postgresql.org/docs/current/datatype-json.html",
        example=_column(type="json"),
        safe=_jsonb,
        matches=asks(
            "add_column", also=lambda _, action: (action.type or "").lower() == "json", weight="note"
        ),
    ),
    Rule(
        id="drop-column",
        title="DROP COLUMN",
        condition="A column of an existing table was dropped.",
        consequence="The running release still names it: its queries fail (42703) from the commit on.",
        instead="in the release after the one whose code no longer names it",
        source=_ALTER,
        example=_column("drop_column"),
        safe=_drop,
        matches=asks("drop_column", gently="note"),
    ),
    Rule(
        id="rename-column",
        title="RENAME COLUMN",
        condition="A column of an existing table was renamed.",
        consequence="The running release names it as it was: its queries fail (42703) from the commit on.",
        instead="a new column, both written, a backfill, then drop the old one",
        source=_ALTER,
        example=Action("rename_column", "orders", "note", ("remark",)),
        safe=_rename,
        matches=asks("rename_column"),
    ),
    Rule(
        id="set-not-null",
        title="SET NOT NULL that reads the table",
        condition="NOT NULL was set and the whole table read under AccessExclusiveLock to prove it.",
        consequence="Reads and writes wait for the scan and until the transaction ends.",
        instead="CHECK (… IS NOT NULL) NOT VALID, VALIDATE, SET NOT NULL, drop the CHECK",
        source=_ALTER,
        example=_column("set_not_null"),
        safe=not_null_in_steps,
        matches=asks("set_not_null", also=_scanned),
    ),
)
