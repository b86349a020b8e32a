"""CREATE, DROP and ALTER of everything but a table's own subcommands, as actions.

The grammar: https://www.postgresql.org/docs/current/sql-commands.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.core.shape import Action
from harness.db.parsing_tables import alter_table, volatility
from harness.db.sql_tokens import Cursor, NotUnderstoodError

__all__ = ["alter", "create", "drop", "words"]

_NONE = frozenset[str]()


def words(cursor: Cursor, *found: str) -> frozenset[str]:
    """Those of the optional words that come next, in this order, as flags."""
    return frozenset(word for word in found if cursor.takes(word))


def _if_exists(cursor: Cursor) -> frozenset[str]:
    return frozenset(["if_exists"]) if cursor.takes("if", "exists") else _NONE


def _if_not_exists(cursor: Cursor) -> frozenset[str]:
    return frozenset(["if_not_exists"]) if cursor.takes("if", "not", "exists") else _NONE


def create(cursor: Cursor) -> Iterator[Action]:
    """Actions of what follows CREATE."""
    flags = frozenset(["replace"]) if cursor.takes("or", "replace") else _NONE
    cursor.takes_any("global", "local")
    if cursor.takes_any("temporary", "temp"):
        flags |= {"temporary"}
    cursor.takes_any("unlogged", "recursive", "constraint", "trusted", "procedural", "event")
    flags |= words(cursor, "unique")
    kind = cursor.takes_any(*_CREATE)
    if kind:
        for action in _CREATE[kind](cursor):
            yield replace(action, flags=action.flags | flags)
    elif cursor.sees_any("schema", "database", "role", "user", "group", "tablespace", "foreign", "server"):
        cursor.until(";")
        yield Action("other")
    else:
        raise NotUnderstoodError


def _table(cursor: Cursor) -> Iterator[Action]:
    flags = _if_not_exists(cursor)
    name = cursor.name()
    if cursor.takes("partition", "of"):
        parent = cursor.name()
        default = cursor.sees("default")
        bounds = cursor.until(";")
        yield Action("create_table", name, flags=flags)
        flags |= {"default_partition"} if default else set()
        yield Action("create_partition", parent, name, expression=bounds, flags=flags)
        return
    parents: list[str] = []
    depth = 0
    while not cursor.ended and not (depth == 0 and cursor.sees("as")):
        if cursor.takes("partition", "by"):
            flags |= {"partitioned"}
        elif cursor.takes("references"):
            parents.append(cursor.name())
        else:
            depth += cursor.sees("(") - cursor.sees(")")
            cursor.at += 1
    if cursor.takes("as"):
        cursor.to_end()
        yield Action("create_table_as", name, flags=flags)
    else:
        flags |= {"references"} if parents else set()
        yield Action("create_table", name, references=next(iter(parents), None), flags=flags)
        for parent in dict.fromkeys(parents):
            yield Action("add_foreign_key", name, references=parent)


def _index(cursor: Cursor) -> Iterator[Action]:
    flags = words(cursor, "concurrently") | _if_not_exists(cursor)
    name = None if cursor.sees("on") else cursor.name()
    cursor.must("on")
    flags |= words(cursor, "only")
    relation = cursor.name()
    method = cursor.identifier() if cursor.takes("using") else None
    columns = cursor.listed()
    rest = cursor.until("where") or None
    condition = None
    if cursor.takes("where"):
        condition, flags = cursor.until(";"), flags | {"where"}
    yield Action("create_index", relation, name, columns, method, None, None, condition, flags, rest)


def _trigger(cursor: Cursor) -> Iterator[Action]:
    name = cursor.identifier()
    if cursor.takes("on"):  # CREATE EVENT TRIGGER
        cursor.until(";")
        yield Action("other", name=name)
        return
    # ON comes behind the events, of which UPDATE OF lists columns.
    cursor.until("on")
    cursor.must("on")
    relation = cursor.name()
    cursor.until(";")
    yield Action("create_trigger", relation, name)


def _policy(cursor: Cursor) -> Iterator[Action]:
    name = cursor.identifier()
    cursor.must("on")
    relation = cursor.name()
    yield Action("create_policy", relation, name, expression=cursor.until(";"))


def _rule(cursor: Cursor) -> Iterator[Action]:
    name = cursor.identifier()
    cursor.until("to")
    cursor.must("to")
    relation = cursor.name()
    cursor.until(";")
    yield Action("create_rule", relation, name)


def _matview(cursor: Cursor) -> Iterator[Action]:
    cursor.must("view")
    yield from _plain("create_matview")(cursor)


def _statistics(cursor: Cursor) -> Iterator[Action]:
    _if_not_exists(cursor)
    name = None if cursor.sees("(") else cursor.name()
    cursor.until("from")
    cursor.must("from")
    yield Action("create_statistics", cursor.name(), name)


def _plain(verb: str) -> Callable[[Cursor], Iterator[Action]]:
    """For what advice only needs the name of."""

    def parsed(cursor: Cursor) -> Iterator[Action]:
        flags = _if_not_exists(cursor)
        name = cursor.name()
        cursor.to_end()
        yield Action(verb, name, flags=flags)

    return parsed


_CREATE: dict[str, Callable[[Cursor], Iterator[Action]]] = {
    "table": _table,
    "index": _index,
    "trigger": _trigger,
    "policy": _policy,
    "rule": _rule,
    "materialized": _matview,
    "statistics": _statistics,
    "view": _plain("create_view"),
    "type": _plain("create_type"),
    "domain": _plain("create_domain"),
    "sequence": _plain("create_sequence"),
    "function": _plain("create_function"),
    "procedure": _plain("create_function"),
    "aggregate": _plain("create_function"),
    "extension": _plain("create_extension"),
    "publication": _plain("publication"),
    "subscription": _plain("publication"),
    "operator": lambda cursor: iter([Action("other", expression=cursor.until(";"))]),
}

_DROPPED = {
    "table": "drop_table",
    "view": "drop_view",
    "schema": "drop_schema",
    "type": "drop_type",
    "domain": "drop_type",
    "sequence": "drop_sequence",
    "function": "drop_function",
    "procedure": "drop_function",
    "routine": "drop_function",
    "aggregate": "drop_function",
}


def drop(cursor: Cursor) -> Iterator[Action]:
    """Actions of what follows DROP, one for each name of its list."""
    if cursor.takes("index"):
        flags = words(cursor, "concurrently") | _if_exists(cursor)
        yield from _dropped(cursor, "drop_index", flags)
    elif cursor.takes("materialized", "view"):
        yield from _dropped(cursor, "drop_matview", _if_exists(cursor))
    elif kind := cursor.takes_any("trigger", "policy", "rule"):
        flags = _if_exists(cursor)
        name = cursor.identifier()
        cursor.must("on")
        verb = "other" if kind == "rule" else f"drop_{kind}"
        yield Action(verb, cursor.name(), name, flags=flags)
        cursor.takes_any("cascade", "restrict")
    elif kind := cursor.takes_any(*_DROPPED):
        yield from _dropped(cursor, _DROPPED[kind], _if_exists(cursor))
    else:
        cursor.until(";")
        yield Action("other")


def _dropped(cursor: Cursor, verb: str, flags: frozenset[str]) -> Iterator[Action]:
    names = [cursor.name()]
    _arguments(cursor)
    while cursor.takes(","):
        names.append(cursor.name())
        _arguments(cursor)
    flags |= words(cursor, "cascade")
    cursor.takes("restrict")
    for name in names:
        yield Action(verb, None if verb == "drop_index" else name, name, flags=flags)


def _arguments(cursor: Cursor) -> None:
    if cursor.sees("("):
        cursor.skip_item()


def alter(cursor: Cursor) -> Iterator[Action]:
    """Actions of what follows ALTER."""
    cursor.takes("foreign")
    if cursor.takes("table"):
        yield from alter_table(cursor)
    elif cursor.takes("index"):
        flags = _if_exists(cursor)
        name = cursor.name()
        verb = "set_tablespace" if cursor.sees("set", "tablespace") else "alter_index"
        yield Action(verb, name=name, expression=cursor.until(";"), flags=flags)
    elif cursor.takes("type"):
        yield _type(cursor)
    elif cursor.takes("schema"):
        old = cursor.identifier()
        renamed = cursor.takes("rename", "to")
        yield Action("rename_schema" if renamed else "other", old, cursor.identifier() if renamed else None)
        cursor.until(";")
    elif cursor.takes("trigger"):
        yield _altered_on(cursor, "other")
    elif cursor.takes("policy"):
        yield replace(_altered_on(cursor, "create_policy"), flags=frozenset(["replace"]))
    else:
        yield from _object(cursor)


def _altered_on(cursor: Cursor, verb: str) -> Action:
    name = cursor.identifier()
    cursor.must("on")
    relation = cursor.name()
    return Action(verb, relation, name, expression=cursor.until(";"))


def _type(cursor: Cursor) -> Action:
    relation = cursor.name()
    if cursor.takes("add", "value"):
        flags = _if_not_exists(cursor)
        value = cursor.ahead().text
        cursor.skip_item()
        return Action("add_enum_value", relation, value, flags=flags, rest=cursor.until(";") or None)
    if cursor.takes("rename", "value"):
        old = cursor.ahead().text
        cursor.skip_item()
        cursor.must("to")
        value = cursor.ahead().text
        cursor.until(";")
        return Action("rename_enum_value", relation, value, columns=(old,))
    return Action("other", relation, expression=cursor.until(";"))


def _object(cursor: Cursor) -> Iterator[Action]:
    if cursor.takes("materialized"):
        cursor.must("view")
        yield from _view(cursor)
    elif cursor.takes("view"):
        yield from _view(cursor)
    elif cursor.takes("domain"):
        yield _domain(cursor)
    elif cursor.takes("sequence"):
        flags = _if_exists(cursor)
        yield Action("alter_sequence", cursor.name(), expression=cursor.until(";"), flags=flags)
    else:
        cursor.until(";")
        yield Action("other")


def _view(cursor: Cursor) -> Iterator[Action]:
    if cursor.sees("all"):
        cursor.until(";")
        yield Action("other")
    else:
        yield from alter_table(cursor)


def _domain(cursor: Cursor) -> Action:
    relation = cursor.name()
    if cursor.takes("validate", "constraint"):
        return Action("alter_domain", relation, cursor.identifier(), expression="validate")
    name = None
    if cursor.takes("add", "constraint"):
        name = cursor.identifier()
    elif cursor.takes("set", "default"):
        default = cursor.until(";")
        return Action("alter_domain", relation, default=default, flags=volatility(default))
    change = cursor.until(";")
    flags = _NONE
    if change.lower().endswith("not valid"):
        change, flags = change[: -len("not valid")].rstrip(), frozenset(["not_valid"])
    if change.lower().removeprefix("add ").startswith("check"):
        flags |= {"check"}
    return Action("alter_domain", relation, name, expression=change or None, flags=flags)
