"""From a statement's text to its shape, without a database.

A recogniser of its own, because general SQL parsers know no more than the first word of VALIDATE CONSTRAINT,
ATTACH PARTITION, REINDEX, CREATE POLICY and others, and read 100 kB in half a second. What is not known here
leaves `Shape.parsed` False and costs no more than the statement it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from harness.core.shape import Action, Shape
from harness.db.parsing_objects import alter, create, drop, words
from harness.db.sql_tokens import Cursor, NotUnderstoodError, Token, normalised, tokens

__all__ = ["MOST_ACTIONS", "ignored_in", "ignored_without_reason", "parse"]

MOST_ACTIONS = 500


def parse(sql: str) -> Shape:
    """What a text asks for, one statement after the other; never raises.

    Reads at most `MOST_TOKENS` tokens and gives at most `MOST_ACTIONS` actions, so that no text takes long;
    `parsed` is False where that cut something off.
    """
    found, whole = tokens(sql)
    actions: list[Action] = []
    for statement in _statements(found):
        cursor = Cursor(sql, statement)
        try:
            for action in islice(_statement(cursor), MOST_ACTIONS - len(actions)):
                actions.append(action)  # noqa: PERF402 - those before a NotUnderstoodError are kept
        except NotUnderstoodError:
            whole = False
        whole = whole and cursor.ended
        if len(actions) >= MOST_ACTIONS:
            break
    return Shape(tuple(actions), parsed=whole and bool(actions), normalised=normalised(found))


def _statements(found: list[Token]) -> Iterator[list[Token]]:
    """Cut at semicolons that are in no parentheses and in no body of a function (BEGIN ATOMIC … END)."""
    first = depth = 0
    atomic = False
    for place, token in enumerate(found):
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
            if token.text == ";" and depth <= 0 and not atomic:
                if place > first:
                    yield found[first:place]
                first, depth = place + 1, 0
        elif token.kind == "word" and token.text in ("atomic", "end"):
            atomic = token.text == "atomic" and place > 0 and found[place - 1].text == "begin"
    if first < len(found):
        yield found[first:]


def _statement(cursor: Cursor) -> Iterator[Action]:
    word = cursor.takes_any(*_STATEMENTS)
    if word:
        yield from _STATEMENTS[word](cursor)
    elif cursor.sees_any(*_SESSION):
        verb = _SESSION[cursor.ahead().text]
        cursor.until(";")
        yield Action(verb)
    elif cursor.sees("("):
        cursor.until(";")
        yield Action("select")
    else:
        raise NotUnderstoodError


_SESSION = {
    **dict.fromkeys(("begin", "start", "commit", "end", "rollback", "abort", "savepoint"), "transaction"),
    **dict.fromkeys(("release", "prepare"), "transaction"),
    **dict.fromkeys(("select", "values", "table", "show", "explain", "fetch", "declare"), "select"),
    **dict.fromkeys(("close", "deallocate", "discard", "listen", "notify", "unlisten", "load"), "other"),
    **dict.fromkeys(("execute", "move", "checkpoint", "security", "import", "reassign"), "other"),
}


def _set(cursor: Cursor) -> Iterator[Action]:
    flags = words(cursor, "local")
    cursor.takes("session")
    if cursor.takes_any("transaction", "constraints", "characteristics"):
        cursor.until(";")
        yield Action("transaction")
        return
    name = cursor.name()
    cursor.takes("=") or cursor.takes("to")
    yield Action("set", name=name, expression=cursor.until(";"), flags=flags)


def _reset(cursor: Cursor) -> Iterator[Action]:
    yield Action("reset", name="all" if cursor.takes("all") else cursor.name())
    cursor.to_end()


def _reindex(cursor: Cursor) -> Iterator[Action]:
    flags: frozenset[str] = frozenset()
    if cursor.sees("("):
        options = cursor.parenthesised().lower()
        flags = frozenset(["concurrently"]) if "concurrently" in options else flags
    kind = cursor.takes_any("index", "table", "schema", "database", "system")
    if not kind:
        raise NotUnderstoodError
    flags |= words(cursor, "concurrently")
    name = None if cursor.ended else cursor.name()
    yield Action("reindex", name if kind == "table" else None, name, type=kind, flags=flags)


def _vacuum(cursor: Cursor) -> Iterator[Action]:
    flags: set[str] = set()
    if cursor.sees("("):
        flags |= {"full"} if "full" in cursor.parenthesised().lower() else set()
    while word := cursor.takes_any("full", "freeze", "verbose", "analyze"):
        flags |= {"full"} if word == "full" else set()
    for name in _tables(cursor) or (None,):
        yield Action("vacuum", name, flags=frozenset(flags))


def _analyze(cursor: Cursor) -> Iterator[Action]:
    if cursor.sees("("):
        cursor.skip_item()
    cursor.takes("verbose")
    for name in _tables(cursor) or (None,):
        yield Action("analyze", name)


def _tables(cursor: Cursor) -> tuple[str, ...]:
    """A list of tables, each with ONLY before or columns behind it."""
    found: list[str] = []
    while not cursor.ended:
        cursor.takes("only")
        found.append(cursor.name())
        cursor.takes("*")
        if cursor.sees("("):
            cursor.skip_item()
        if not cursor.takes(","):
            break
    return tuple(found)


def _cluster(cursor: Cursor) -> Iterator[Action]:
    cursor.takes("verbose")
    relation = None if cursor.ended else cursor.name()
    yield Action("cluster", relation, cursor.identifier() if cursor.takes("using") else None)


def _refresh(cursor: Cursor) -> Iterator[Action]:
    cursor.must("materialized", "view")
    flags = words(cursor, "concurrently")
    yield Action("refresh_matview", cursor.name(), flags=flags)
    cursor.takes("with", "data") or cursor.takes("with", "no", "data")


def _lock(cursor: Cursor) -> Iterator[Action]:
    cursor.takes("table")
    names = _tables(cursor)
    mode = cursor.until("mode", "nowait") if cursor.takes("in") else "ACCESS EXCLUSIVE"
    cursor.takes("mode")
    flags = words(cursor, "nowait")
    for name in names:
        yield Action("lock_table", name, expression=mode.upper(), flags=flags)


def _truncate(cursor: Cursor) -> Iterator[Action]:
    cursor.takes("table")
    names = _tables(cursor)
    if cursor.takes_any("restart", "continue"):
        cursor.must("identity")
    flags = words(cursor, "cascade")
    cursor.takes("restrict")
    for name in names:
        yield Action("truncate", name, flags=flags)


def _comment(cursor: Cursor) -> Iterator[Action]:
    cursor.must("on")
    kind = cursor.takes_any("table", "column", "index")
    name = cursor.name() if kind else None
    cursor.until(";")
    yield Action("comment", name)


def _grants(verb: str) -> Callable[[Cursor], Iterator[Action]]:
    def parsed(cursor: Cursor) -> Iterator[Action]:
        cursor.until("on", "to", "from")
        names: tuple[str, ...] = ()
        if cursor.takes("on") and not cursor.sees("all"):
            kind = cursor.takes_any("table")
            names = _tables(cursor) if kind or cursor.ahead(1).text in (",", "to", "from", ".") else ()
        cursor.until(";")
        for name in names or (None,):
            yield Action(verb, name)

    return parsed


def _do(cursor: Cursor) -> Iterator[Action]:
    cursor.until(";")
    yield Action("do")


def _insert(cursor: Cursor) -> Iterator[Action]:
    cursor.must("into")
    relation = cursor.name()
    yield Action("insert", relation)
    cursor.to_end()  # of the values nothing is asked


def _update(cursor: Cursor) -> Iterator[Action]:
    cursor.takes("only")
    relation = cursor.name()
    cursor.until("set")
    cursor.must("set")
    columns: list[str] = []
    while True:
        columns += cursor.listed() if cursor.sees("(") else [cursor.identifier()]
        cursor.until(",", "where", "from", "returning")
        if not cursor.takes(","):
            break
    yield _bounded(cursor, Action("update", relation, columns=tuple(columns)))


def _delete(cursor: Cursor) -> Iterator[Action]:
    cursor.must("from")
    cursor.takes("only")
    relation = cursor.name()
    cursor.until("where", "using", "returning")
    yield _bounded(cursor, Action("delete", relation))


def _bounded(cursor: Cursor, action: Action) -> Action:
    """Without WHERE it means every row; a join in FROM or USING does not bound it."""
    cursor.until("where", "returning")
    bounded = cursor.takes("where")
    condition = cursor.until("returning") if bounded else None
    cursor.until(";")
    return replace(action, expression=condition, flags=action.flags | {"where" if bounded else "all_rows"})


def _merge(cursor: Cursor) -> Iterator[Action]:
    cursor.must("into")
    cursor.takes("only")
    yield Action("merge", cursor.name())
    cursor.until(";")


def _copy(cursor: Cursor) -> Iterator[Action]:
    relation = None if cursor.sees("(") else cursor.name()
    cursor.until(";")
    yield Action("copy", relation)


def _with(cursor: Cursor) -> Iterator[Action]:
    """The statements that change data within WITH, then the statement it is for."""
    cursor.takes("recursive")
    while True:
        cursor.identifier()
        if cursor.sees("("):
            cursor.skip_item()
        cursor.until("materialized", "(")
        cursor.takes("materialized")
        yield from _changing(cursor.inner())
        cursor.until(",", "select", "insert", "update", "delete", "merge", "values", "table")
        if not cursor.takes(","):
            break
    if cursor.sees("with"):
        raise NotUnderstoodError
    yield from _statement(cursor)


def _changing(inner: Cursor) -> Iterator[Action]:
    word = inner.takes_any("insert", "update", "delete", "merge")
    if word:
        yield from _STATEMENTS[word](inner)


_STATEMENTS: dict[str, Callable[[Cursor], Iterator[Action]]] = {
    "alter": alter,
    "create": create,
    "drop": drop,
    "set": _set,
    "reset": _reset,
    "reindex": _reindex,
    "vacuum": _vacuum,
    "analyze": _analyze,
    "analyse": _analyze,
    "cluster": _cluster,
    "refresh": _refresh,
    "lock": _lock,
    "truncate": _truncate,
    "comment": _comment,
    "grant": _grants("grant"),
    "revoke": _grants("revoke"),
    "do": _do,
    "call": _do,
    "insert": _insert,
    "update": _update,
    "delete": _delete,
    "merge": _merge,
    "copy": _copy,
    "with": _with,
}

_IGNORE = re.compile(
    r"^[ \t]*#[ \t]*migrate-under-load:[ \t]*ignore[ \t]+(?P<rule>[\w-]+)[ \t]*(?::[ \t]*(?P<reason>.*))?$",
    re.MULTILINE,
)


def ignored_in(path: Path) -> dict[str, str]:
    """Rule → reason, from the comments `# migrate-under-load: ignore RULE: reason` of a revision's file.

    One without a reason ignores nothing; `ignored_without_reason` names those. Empty if the file cannot be
    read: then every finding counts.
    """
    return {rule: reason for rule, reason in _comments(path) if reason}


def ignored_without_reason(path: Path) -> tuple[str, ...]:
    """Rules of which a revision's file says that they be ignored, but not why."""
    return tuple(rule for rule, reason in _comments(path) if not reason)


def _comments(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple((found["rule"], (found["reason"] or "").strip()) for found in _IGNORE.finditer(text))
