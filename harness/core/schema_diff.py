"""What a migration did to the schema in passing: the state after it against the state before.

What it says it does (a new table, a dropped column) is no finding; what nobody asked for is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain

from harness.core.schema_access import ACCESS_RULES, Findings
from harness.core.schema_change import SchemaChange, SchemaFinding
from harness.core.schema_state import ConstraintState, IndexState, SchemaState, SequenceState

__all__ = ["SchemaFinding", "compare"]


def compare(before: SchemaState | None, after: SchemaState | None) -> tuple[SchemaFinding, ...]:
    """Red ones first, then by relation; none when one of the states was not, or could not be, read."""
    if before is None or after is None or before.error or after.error:
        return ()
    change = SchemaChange(before, after)
    found = chain.from_iterable(rule(change) for rule in (*_RULES, *ACCESS_RULES))
    return tuple(sorted(found, key=lambda one: (not one.red, one.relation, one.kind, one.what)))


def _invalid_index(change: SchemaChange) -> Findings:
    for index in change.after.indexes.values():
        if index.valid:
            continue
        old = change.before.indexes.get(index.name)
        new = old is None or old.valid
        what = _why_invalid(index, new)
        yield SchemaFinding("invalid_index", index.name, what, red=new, remedy=_rebuild(index))


def _why_invalid(index: IndexState, new: bool) -> str:
    since = "was left INVALID" if new else "is INVALID, as it was before the migration"
    if index.partitioned:
        return (
            f"The index {index.name} on the partitioned table {index.table} {since}: not every partition has "
            "an index that is attached to it."
        )
    told = f"The index {index.name} on {index.table} {since}: no query uses it, yet every write maintains it."
    if index.unique and index.ready:
        told += " It rejects duplicates all the same (23505)."
    if not index.ready:
        told = f"The index {index.name} on {index.table} {since}: no query uses it and it enforces nothing."
    return f"{told} CREATE INDEX … IF NOT EXISTS would take it for done and report success."


_LEFT_BY_REINDEX = re.compile(r'_cc(new|old)\d*"?$')


def _rebuild(index: IndexState) -> str:
    """https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY"""
    if index.partitioned:
        return f"ALTER INDEX {index.name} ATTACH PARTITION <the index of each partition>;"
    drop = f"DROP INDEX CONCURRENTLY {index.name};"
    if _LEFT_BY_REINDEX.search(index.name):
        return drop
    create = re.sub(r"^CREATE (UNIQUE )?INDEX ", r"CREATE \1INDEX CONCURRENTLY ", index.definition)
    return f"{drop} {create};" if create else drop


def _new_constraints(change: SchemaChange, kind: str = "") -> Iterator[ConstraintState]:
    for key, constraint in change.after.constraints.items():
        if key not in change.before.constraints and constraint.kind.startswith(kind):
            yield constraint


def _not_valid_constraint(change: SchemaChange) -> Findings:
    for one in _new_constraints(change):
        if one.valid or not one.enforced:
            continue
        yield SchemaFinding(
            "not_valid_constraint",
            one.table,
            f"The new constraint {one.name} on {one.table} is NOT VALID: it holds for what is written from"
            " now on; rows from before were never checked, and the planner does not rely on it.",
            remedy=f"ALTER TABLE {one.table} VALIDATE CONSTRAINT {one.name};",
        )


def _foreign_key_without_index(change: SchemaChange) -> Findings:
    for key in _new_constraints(change, "f"):
        indexes = [index for index in change.after.indexes.values() if index.table == key.table]
        if any(_serves(index, key.columns) for index in indexes):
            continue
        columns = ", ".join(key.columns)
        yield SchemaFinding(
            "foreign_key_without_index",
            key.table,
            f"No index of {key.table} begins with {columns}, which the new foreign key {key.name} refers "
            f"from: every DELETE in the table referred to, or change of its key, reads all of {key.table}.",
            remedy=f"CREATE INDEX CONCURRENTLY ON {key.table} ({columns});",
        )


def _serves(index: IndexState, columns: tuple[str, ...]) -> bool:
    """Whether `index` finds rows by `columns`. A partial one does where it leaves out nothing but nulls."""
    if not index.valid or set(index.columns[: len(columns)]) != set(columns):
        return False
    partial = index.definition.partition(" WHERE ")[2]
    return not partial or partial in {f"({column} IS NOT NULL)" for column in columns}


def _swapped_table(change: SchemaChange) -> Findings:
    now = {table.oid: name for name, table in change.after.tables.items()}
    for old, new in change.stored:
        if "m" in (old.kind, new.kind) or old.oid == new.oid or not old.oid:
            continue
        kept = now.get(old.oid)
        yield SchemaFinding(
            "swapped_table",
            new.name,
            f"{new.name} is another table than before; the old one is {f'{kept} now' if kept else 'gone'}. "
            f"What was written to it after its rows were copied is not in the new one.{_tied(change, kept)}",
            remedy=f"TABLE {kept} EXCEPT TABLE {new.name};" if kept else "",
        )


def _tied(change: SchemaChange, table: str | None) -> str:
    """What was made for `table` under its former name, and followed it: views and foreign keys."""
    views = [view.name for view in change.after.tables.values() if table in view.reads]
    keys = [
        f"{key.table}.{key.name}"
        for key in change.after.constraints.values()
        if key.kind == "f" and f" REFERENCES {table}(" in key.definition
    ]
    return f" Still tied to {table}: {', '.join(sorted(views + keys))}." if views + keys else ""


def _statistics_lost(change: SchemaChange) -> Findings:
    for old, new in change.stored:
        if old.statistics is None or new.statistics is None:
            continue
        blind = [name for name in old.statistics if name in new.columns and name not in new.statistics]
        if blind:
            yield SchemaFinding(
                "statistics_lost",
                new.name,
                f"The planner's statistics of {new.name} ({', '.join(sorted(blind))}) are gone: until the "
                "next ANALYZE it guesses, and queries that were fast may not be.",
                remedy=f"ANALYZE {new.name};",
            )


def _visibility_lost(change: SchemaChange) -> Findings:
    for old, new in change.stored:
        large = new.bytes is None or new.bytes >= _SMALL
        if large and old.visible_ratio is not None and old.visible_ratio >= 0.5 and new.visible_ratio == 0:
            yield SchemaFinding(
                "visibility_lost",
                new.name,
                f"{old.visible_ratio:.0%} of the pages of {new.name} were marked all-visible, none is now: "
                "index-only scans read the table as well until the next VACUUM.",
                remedy=f"VACUUM {new.name};",
            )


_SMALL = 1 << 20
"""Bytes; a smaller table is in memory whole."""


def _narrow_sequence(change: SchemaChange) -> Findings:
    for new in change.after.sequences.values():
        old = change.before.sequences.get(new.name)
        if not _narrow(new) or (old and _narrow(old)):
            continue
        yield SchemaFinding(
            "narrow_sequence",
            new.name,
            f"The column {new.owned_by} is {new.column_type} and its sequence {new.name} is still {new.type}:"
            f" it ends at {_MAXIMUM[new.type]:,} with an error (2200H).",
            remedy=f"ALTER SEQUENCE {new.name} AS {new.column_type};",
        )


_MAXIMUM = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def _narrow(sequence: SequenceState) -> bool:
    column = _MAXIMUM.get(sequence.column_type or "", 0)
    return _MAXIMUM.get(sequence.type, column) < column


_RULES: tuple[Callable[[SchemaChange], Findings], ...] = (
    _invalid_index,
    _not_valid_constraint,
    _foreign_key_without_index,
    _swapped_table,
    _statistics_lost,
    _visibility_lost,
    _narrow_sequence,
)
