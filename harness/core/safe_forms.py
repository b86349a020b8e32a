"""Pieces of Alembic code, with the names of a statement filled in."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable

from harness.core.names import last_part, quoted, schema_of
from harness.core.shape import Action

__all__ = [
    "autocommit",
    "batch_loop",
    "batches",
    "columns",
    "execute",
    "kept_by_trigger",
    "own_name",
    "patient",
    "schema",
    "sql_column",
    "sql_table",
    "string",
    "table",
    "word",
]

TIMEOUT = "2s"
_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")
_ESCAPED = r"\\:"


def string(text: str) -> str:
    """A text as a string literal of Python."""
    return json.dumps(text, ensure_ascii=False)


def execute(sql: str) -> str:
    """One statement by `op.execute`."""
    return f"op.execute({string(_escaped(sql))})"


def _escaped(sql: str) -> str:
    """SQLAlchemy takes a colon before a word for a parameter."""
    return _COLON.sub(_ESCAPED, sql)


def autocommit(*lines: str) -> str:
    """Statements that cannot or must not run in the migration's transaction."""
    body = textwrap.indent("\n".join(lines), "    ")
    return f"with op.get_context().autocommit_block():\n{body}"


def patient(*lines: str) -> str:
    """Statements that give up after two seconds of waiting for a lock; to be tried again when they do."""
    return "\n".join((execute(f"SET LOCAL lock_timeout = '{TIMEOUT}'"), *lines))


def word(name: str | None, otherwise: str) -> str:
    """A name as a string of Python without SQL's quotes; `otherwise` where the text gave none."""
    return string(last_part(name) if name else otherwise)


def own_name(action: Action, suffix: str) -> str:
    """The action's name without quotes, or one made as PostgreSQL would: table, columns, suffix."""
    if action.name:
        return last_part(action.name)
    made = [last_part(action.relation or "table"), *(c for c in action.columns if c.isidentifier()), suffix]
    return "_".join(made)[:63]


def table(action: Action) -> str:
    """The table's name as a string of Python."""
    return word(action.relation, "table")


def schema(name: str | None, keyword: str = "schema") -> str:
    """`, schema="…"` where the text named one."""
    found = schema_of(name) if name else None
    return f", {keyword}={string(found)}" if found else ""


def columns(names: Iterable[str]) -> str:
    """A list of columns; an expression of an index as `sa.text`."""
    return "[" + ", ".join(_column(name) for name in names) + "]"


def _column(name: str) -> str:
    plain = name.startswith('"') or name.replace("$", "_").isidentifier()
    return string(last_part(name)) if plain else f"sa.text({string(name)})"


def sql_table(action: Action) -> str:
    """The table as SQL."""
    return action.relation or "orders"


def sql_column(action: Action) -> str:
    """The column as SQL."""
    return action.name or (action.columns[0] if action.columns else "column")


def batches(action: Action, assigned: str, condition: str) -> str:
    """A backfill in short transactions of their own."""
    name, column = sql_table(action), sql_column(action)
    return batch_loop(f"UPDATE {name} SET {column} = {assigned}", name, condition)  # noqa: S608 - printed only


def kept_by_trigger(action: Action, column: str, value: str) -> str:
    """A trigger that sets `column` to `value`, an expression over the row, whenever a row is written.

    What is written between the column's addition and the end of the backfill, or after it, is kept as well.
    """
    name = sql_table(action)
    made = quoted(f"{last_part(name)}_{last_part(column)}"[:63])
    row = f"(SELECT {value} FROM (SELECT NEW.*) AS {quoted(last_part(name))})"  # noqa: S608 - printed only
    body = f"BEGIN NEW.{column} := {row}; RETURN NEW; END"
    trigger = f"CREATE TRIGGER {made} BEFORE INSERT OR UPDATE ON {name}"
    return "\n".join(
        (
            execute(f"CREATE FUNCTION {made}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"),
            execute(f"{trigger} FOR EACH ROW EXECUTE FUNCTION {made}()"),
        )
    )


def batch_loop(change: str, name: str, condition: str) -> str:
    """An UPDATE or DELETE of 5,000 rows at a time, until none is left for which the condition holds.

    The condition stands outside as well: each partition counts its ctids for itself.
    """
    chosen = f"SELECT ctid FROM {name} WHERE {condition} LIMIT 5000 FOR UPDATE"  # noqa: S608 - printed only
    return autocommit(
        "batch = sa.text(",
        f"    {string(_escaped(f'{change} WHERE ({condition})'))}",
        '    " AND ctid = ANY(ARRAY("',
        f"    {string(_escaped(chosen))}",
        '    "))"',
        ")",
        "while op.get_bind().execute(batch).rowcount:",
        '    op.execute("SELECT pg_sleep(0.1)")',
    )
