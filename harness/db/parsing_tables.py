"""ALTER TABLE, its subcommands, column definitions and constraints, as actions.

The grammar: https://www.postgresql.org/docs/current/sql-altertable.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from harness.core.shape import Action
from harness.db.sql_tokens import Cursor, NotUnderstoodError

__all__ = ["alter_table", "column_flags", "volatility"]

_CONSTRAINT = ("constraint", "check", "unique", "primary", "foreign")
_AFTER_TYPE = (
    *("constraint", "not", "null", "check", "default", "generated", "unique", "primary", "references"),
    *("collate", "storage", "compression", "deferrable", "initially", "using", ",", ";"),
)
_AFTER_DEFAULT = (
    *("constraint", "not", "null", "check", "generated", "unique", "primary", "references"),
    *("deferrable", "initially", ",", ";"),
)
_SERIALS = frozenset(("smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"))


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


STABLE = _set_of(
    """
    now current_timestamp current_date current_time localtime localtimestamp transaction_timestamp
    statement_timestamp current_user session_user user current_setting current_schema current_catalog
    current_role to_date to_char txid_current pg_backend_pid
    """
)
VOLATILE = _set_of(
    """
    gen_random_uuid uuidv4 uuidv7 uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 clock_timestamp
    timeofday nextval currval setval random random_normal gen_random_bytes
    """
)
IMMUTABLE = _set_of(
    """
    lower upper length abs round floor ceil coalesce nullif greatest least cast array row interval date time
    timestamp with without zone numeric decimal varchar char character varying text uuid_nil make_interval
    make_date jsonb_build_object jsonb_build_array json_build_object json_build_array jsonb_object concat md5
    """
)
_CALL = re.compile(r'([^\W\d][\w.$]*"?)\s*\(')
_LITERAL = re.compile(r"'[^']*'")
_BARE_STABLE = re.compile(r"\b(?:current_\w+|localtime(?:stamp)?|session_user|user)\b")


def volatility(expression: str) -> frozenset[str]:
    """How a default's expression behaves: constant_default, stable_default, volatile_default, or nothing when
    it calls a function that is not known."""
    text = _LITERAL.sub("''", expression.lower())
    called = {name.rpartition(".")[2] for name in _CALL.findall(text)}
    if called & VOLATILE:
        return frozenset(("volatile_default",))
    if called - STABLE - IMMUTABLE:
        return frozenset()
    if called & STABLE or _BARE_STABLE.search(text):
        return frozenset(("stable_default",))
    return frozenset(("constant_default",))


def alter_table(cursor: Cursor) -> Iterator[Action]:
    """Actions of what follows ALTER TABLE; raises NotUnderstoodError where the text leaves the grammar."""
    if cursor.sees("all", "in", "tablespace"):
        cursor.until(";")
        yield Action("set_tablespace")
        return
    flags = frozenset(["if_exists"]) if cursor.takes("if", "exists") else frozenset()
    flags |= {"only"} if cursor.takes("only") else set()
    relation = cursor.name()
    cursor.takes("*")
    while True:
        for action in _subcommand(cursor):
            yield replace(action, relation=relation, flags=action.flags | flags)
        if not cursor.takes(","):
            return


def _subcommand(cursor: Cursor) -> Iterator[Action]:
    word = cursor.takes_any("add", "drop", "alter", "rename", "validate", "set", "enable", "disable")
    if word == "add":
        yield from _add(cursor)
    elif word == "drop":
        yield _drop(cursor)
    elif word == "alter":
        yield _alter_column(cursor)
    elif word == "rename":
        yield _rename(cursor)
    elif word == "validate":
        cursor.must("constraint")
        yield Action("validate_constraint", name=cursor.identifier())
    elif word == "set":
        yield _set(cursor)
    elif word in ("enable", "disable"):
        yield _switch(cursor, word)
    else:
        yield _rare(cursor)


def _rare(cursor: Cursor) -> Action:
    if cursor.takes("attach", "partition"):
        name = cursor.name()
        default = cursor.sees("default")
        bounds = cursor.until(";")
        flags = frozenset(["default_partition"]) if default else frozenset[str]()
        return Action("attach_partition", name=name, expression=bounds, flags=flags)
    if cursor.takes("detach", "partition"):
        name = cursor.name()
        return Action("detach_partition", name=name, flags=_words(cursor, "concurrently", "finalize"))
    if cursor.takes("owner", "to"):
        return Action("owner", name=cursor.identifier())
    if cursor.takes("replica", "identity"):
        return Action("replica_identity", expression=cursor.until(","))
    if cursor.takes("force", "row", "level", "security"):
        return Action("force_rls", flags=frozenset(["force"]))
    if cursor.takes("no", "force", "row", "level", "security"):
        return Action("force_rls")
    if cursor.takes("cluster", "on"):
        return Action("set_options", name=cursor.identifier())
    if cursor.sees_any("reset", "inherit", "no", "of", "not"):
        return Action("set_options" if cursor.sees("reset") else "other", expression=cursor.until(","))
    raise NotUnderstoodError


def _words(cursor: Cursor, *words: str) -> frozenset[str]:
    return frozenset(word for word in words if cursor.takes(word))


def _add(cursor: Cursor) -> Iterator[Action]:
    if cursor.sees_any(*_CONSTRAINT) or cursor.sees("not", "null") or cursor.sees("exclude", "using"):
        yield _constraint(cursor)
        return
    cursor.takes("column")
    flags = frozenset(["if_not_exists"]) if cursor.takes("if", "not", "exists") else frozenset[str]()
    action = _column(cursor)
    yield replace(action, flags=action.flags | flags)


def _constraint(cursor: Cursor) -> Action:
    name = cursor.identifier() if cursor.takes("constraint") else None
    kind = cursor.takes_any("check", "unique", "primary", "exclude", "foreign", "not")
    if kind == "check":
        action = Action("add_check", expression=cursor.parenthesised())
    elif kind == "foreign":
        action = _foreign_key(cursor)
    elif kind == "not":
        cursor.must("null")
        action = Action("add_not_null", columns=(cursor.identifier(),))
    elif kind == "exclude":
        action = Action("add_exclude", expression=cursor.until(",", "deferrable", "initially"))
    elif kind:
        action = _key(cursor, kind)
    else:
        raise NotUnderstoodError
    flags = set(action.flags)
    rest = [action.rest] if action.rest else []
    while not cursor.ended and not cursor.sees(","):
        first = cursor.at
        if cursor.takes("not", "valid"):
            flags.add("not_valid")
        else:
            cursor.skip_item()  # ON DELETE, DEFERRABLE, INITIALLY, NO INHERIT, ENFORCED
            rest.append(cursor.text(first, cursor.at))
    return replace(action, name=name, flags=frozenset(flags), rest=" ".join(rest) or None)


def _key(cursor: Cursor, kind: str) -> Action:
    verb = "add_unique"
    if kind == "primary":
        cursor.must("key")
        verb = "add_primary_key"
    if cursor.takes("using", "index"):
        return Action(verb, expression=cursor.identifier(), flags=frozenset(["using_index"]))
    cursor.takes("nulls", "distinct")
    nulls = cursor.takes("nulls", "not", "distinct")
    columns = cursor.listed()
    rest = f"INCLUDE ({cursor.parenthesised()})" if cursor.takes("include") else ""
    if nulls:
        rest = f"{rest} NULLS NOT DISTINCT".lstrip()  # an index has it behind INCLUDE
    return Action(verb, columns=columns, rest=rest or None)


def _foreign_key(cursor: Cursor) -> Action:
    cursor.must("key")
    columns = cursor.listed()
    cursor.must("references")
    parent = cursor.name()
    expression = ", ".join(cursor.listed()) if cursor.sees("(") else None
    return Action("add_foreign_key", columns=columns, references=parent, expression=expression)


def _column(cursor: Cursor) -> Action:
    name = cursor.identifier()
    kind = cursor.until(*_AFTER_TYPE)
    if not kind:
        raise NotUnderstoodError
    action = Action("add_column", name=name, columns=(name,), type=kind)
    if kind.lower() in _SERIALS:
        action = replace(action, flags=frozenset(["serial", "not_null"]))
    while not cursor.ended and not cursor.sees(","):
        action = column_flags(cursor, action)
    return action


def column_flags(cursor: Cursor, action: Action) -> Action:
    """The action with the next constraint of its column."""
    if cursor.takes("constraint"):
        cursor.identifier()
    if cursor.takes("not", "null"):
        return _flagged(action, "not_null")
    if cursor.takes("null"):
        return _flagged(action, "nullable")
    if cursor.takes("default"):
        first = cursor.at
        cursor.skip_item()
        cursor.until(*_AFTER_DEFAULT)
        default = cursor.text(first, cursor.at)
        return replace(action, default=default, flags=action.flags | volatility(default))
    if cursor.takes("generated"):
        return _generated(cursor, action)
    if cursor.takes("unique"):
        return _flagged(action, "unique")
    if cursor.takes("primary", "key"):
        return _flagged(action, "primary_key", "not_null")
    if cursor.takes("check"):
        return replace(_flagged(action, "check"), expression=cursor.parenthesised())
    if cursor.takes("references"):
        parent = cursor.name()
        return replace(_flagged(action, "references"), references=parent, rest=_of_reference(cursor))
    cursor.skip_item()  # COLLATE, STORAGE: nothing advice must know
    return action


def _of_reference(cursor: Cursor) -> str | None:
    """The parent's columns, MATCH, ON DELETE, ON UPDATE and DEFERRABLE of a column's REFERENCES."""
    first = cursor.at
    if cursor.sees("("):
        cursor.skip_item()
    while True:
        if cursor.takes("on", "delete") or cursor.takes("on", "update"):
            cursor.takes_any("no", "set")
            cursor.skip_item()
            if cursor.sees("("):
                cursor.skip_item()
        elif cursor.takes_any("match", "initially"):
            cursor.skip_item()
        elif not (cursor.takes("deferrable") or cursor.takes("not", "deferrable")):
            return cursor.text(first, cursor.at) or None


def _flagged(action: Action, *flags: str) -> Action:
    return replace(action, flags=action.flags | set(flags))


def _generated(cursor: Cursor, action: Action) -> Action:
    cursor.takes("always") or cursor.takes("by", "default")
    cursor.must("as")
    if cursor.takes("identity"):
        if cursor.sees("("):
            cursor.skip_item()
        return _flagged(action, "identity", "not_null")
    expression = cursor.parenthesised()
    # Without a word it is VIRTUAL from version 18 on; before that the word STORED is obligatory.
    kind = cursor.takes_any("stored", "virtual") or "virtual"
    return replace(_flagged(action, kind), expression=expression)


def _drop(cursor: Cursor) -> Action:
    verb = "drop_constraint" if cursor.takes("constraint") else "drop_column"
    if verb == "drop_column":
        cursor.takes("column")
    flags = frozenset(["if_exists"]) if cursor.takes("if", "exists") else frozenset[str]()
    name = cursor.identifier()
    cursor.takes("restrict")
    columns = (name,) if verb == "drop_column" else ()
    return Action(verb, name=name, columns=columns, flags=flags | _words(cursor, "cascade"))


def _alter_column(cursor: Cursor) -> Action:
    if cursor.takes("constraint"):
        return Action("other", name=cursor.identifier(), expression=cursor.until(","))
    cursor.takes("column")
    name = cursor.identifier()
    action = _column_change(cursor)
    return replace(action, name=name, columns=(name,))


def _column_change(cursor: Cursor) -> Action:
    if cursor.takes("set", "data", "type") or cursor.takes("type"):
        kind = cursor.until("using", "collate", ",", ";")
        if cursor.takes("collate"):
            cursor.name()
        if cursor.takes("using"):
            return Action("alter_type", type=kind, expression=cursor.until(","), flags=frozenset(["using"]))
        return Action("alter_type", type=kind)
    if cursor.takes("set", "default"):
        default = cursor.until(",")
        return Action("set_default", default=default, flags=volatility(default))
    if cursor.sees("set", "(") or cursor.sees("reset", "("):
        cursor.skip_item()
        return Action("set_statistics", expression=cursor.parenthesised())
    for words, verb in _COLUMN_VERBS:
        if cursor.takes(*words):
            return Action(verb, expression=cursor.until(",") or None)
    raise NotUnderstoodError


_COLUMN_VERBS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("drop", "default"), "drop_default"),
    (("set", "not", "null"), "set_not_null"),
    (("drop", "not", "null"), "drop_not_null"),
    (("drop", "identity"), "drop_identity"),
    (("drop", "expression"), "other"),
    (("add", "generated"), "add_identity"),
    (("set", "statistics"), "set_statistics"),
    (("set", "storage"), "set_storage"),
    (("set", "compression"), "set_storage"),
    (("set", "expression"), "other"),
    (("set", "generated"), "other"),
    (("restart",), "other"),
)


def _rename(cursor: Cursor) -> Action:
    if cursor.takes("to"):
        return Action("rename_table", name=cursor.identifier())
    verb = "rename_constraint" if cursor.takes("constraint") else "rename_column"
    if verb == "rename_column":
        cursor.takes("column")
    old = cursor.identifier()
    cursor.must("to")
    return Action(verb, name=cursor.identifier(), columns=(old,))


def _set(cursor: Cursor) -> Action:
    if cursor.takes("schema"):
        return Action("set_schema", name=cursor.identifier())
    if cursor.takes("tablespace"):
        return Action("set_tablespace", name=cursor.identifier())
    if cursor.takes("logged"):
        return Action("set_logged")
    if cursor.takes("unlogged"):
        return Action("set_unlogged")
    if cursor.sees("("):
        return Action("set_options", expression=cursor.parenthesised())
    if cursor.sees_any("without", "access"):
        return Action("other", expression=cursor.until(","))
    raise NotUnderstoodError


def _switch(cursor: Cursor, word: str) -> Action:
    if cursor.takes("row", "level", "security"):
        return Action(f"{word}_rls")
    cursor.takes_any("replica", "always")
    if cursor.takes("rule"):
        return Action("other", name=cursor.identifier())
    cursor.must("trigger")
    name = cursor.takes_any("all", "user") or cursor.identifier()
    return Action(f"{word}_trigger", name=name)
