"""The schema before an upgrade against the one after its rollback: what did not come back, and what was left.

Red is what the release from before may miss or be refused by: what is gone or other than it was, and a
constraint or a column it cannot satisfy that was left behind. The rest that was left is told, and harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TypeVar

from harness.core.schema_change import SchemaFinding
from harness.core.schema_state import ConstraintState, IndexState, SchemaState, SequenceState, TableState

__all__ = ["compare_round_trip"]

Findings = Iterator[SchemaFinding]

T = TypeVar("T")
OfATable = TypeVar("OfATable", ConstraintState, IndexState)

_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}
_NOT_NULL = "n"
"""Constraints of this kind (PostgreSQL 18) say what the columns' types say already."""


def compare_round_trip(before: SchemaState, after: SchemaState) -> tuple[SchemaFinding, ...]:
    """Red ones first, then by relation. Both states must have been read."""
    found = chain.from_iterable(rule(before, after) for rule in _RULES)
    return tuple(sorted(found, key=lambda one: (not one.red, one.relation, one.kind, one.what)))


def _tables(before: SchemaState, after: SchemaState) -> Findings:
    for old in _missing(before.tables, after.tables):
        yield _red("lost_table", old.name, f"The {_kind(old)} {old.name} is gone.")
    for new in _missing(after.tables, before.tables):
        yield _left("left_table", new.name, f"The {_kind(new)} {new.name} was left behind.")
    for old, new in _both(before.tables, after.tables):
        if old.kind != new.kind:
            yield _red("changed_table", old.name, f"{old.name} was a {_kind(old)} and is a {_kind(new)}.")
        yield from _columns(old, new)
        yield from _defaults(old, new)
        yield from _access(old, new)


def _kind(table: TableState) -> str:
    return _KINDS.get(table.kind, "table")


def _columns(old: TableState, new: TableState) -> Findings:
    for name, kind in old.columns.items():
        column = f"{old.name}.{name}"
        if name not in new.columns:
            yield _red("lost_column", old.name, f"The column {column} ({kind}) is gone.")
        elif new.columns[name] != kind:
            yield _red("changed_column", old.name, f"{column} was {kind} and is {new.columns[name]}.")
    for name, kind in new.columns.items():
        if name in old.columns:
            continue
        told = f"The column {old.name}.{name} ({kind}) was left behind"
        if kind.endswith(" not null") and name not in (new.defaults or {}) and new.kind in ("r", "p"):
            yield _red(
                "left_column", old.name, f"{told}: an INSERT that does not name it is refused (23502)."
            )
        else:
            yield _left("left_column", old.name, f"{told}.")


def _defaults(old: TableState, new: TableState) -> Findings:
    if old.defaults is None or new.defaults is None:
        return
    for name in old.columns:
        was, now = old.defaults.get(name), new.defaults.get(name)
        if name in new.columns and was != now:
            told = f"The default of {old.name}.{name} was {was or 'none'} and is {now or 'none'}."
            yield _red("changed_default", old.name, told)


def _access(old: TableState, new: TableState) -> Findings:
    """Owner, grants, row-level security."""
    if old.owner != new.owner:
        told = f"{old.name} belonged to {old.owner} and belongs to {new.owner}."
        yield _red("changed_owner", old.name, told)
    for role, privileges in old.acl.items():
        if gone := sorted(set(privileges) - set(new.acl.get(role, ()))):
            yield _red("lost_grant", old.name, f"{role} has {', '.join(gone)} on {old.name} no more.")
    security = (old.row_security, old.force_row_security, old.policies)
    if security != (new.row_security, new.force_row_security, new.policies):
        yield _red("changed_policies", old.name, f"Row-level security of {old.name} is not what it was.")


def _constraints(before: SchemaState, after: SchemaState) -> Findings:
    for old in _kept(_told(before), before, after):
        new = after.constraints.get(f"{old.table}.{old.name}")
        if new is None:
            yield _red("lost_constraint", old.table, f"The constraint {_named(old)} is gone.")
        elif old.definition and new.definition and old.definition != new.definition:
            told = f"The constraint {old.name} of {old.table} was {old.definition} and is {new.definition}."
            yield _red("changed_constraint", old.table, told)
        elif old.valid and not new.valid:
            told = f"The constraint {old.name} of {old.table} was valid and is NOT VALID."
            yield _red("changed_constraint", old.table, told)
    for new in _kept(_told(after), before, after):
        if f"{new.table}.{new.name}" not in before.constraints:
            told = f"The constraint {_named(new)} was left behind: it may refuse what was allowed before."
            yield _red("left_constraint", new.table, told)


def _told(state: SchemaState) -> Mapping[str, ConstraintState]:
    return {name: one for name, one in state.constraints.items() if one.kind != _NOT_NULL}


def _named(constraint: ConstraintState) -> str:
    return f"{constraint.name} of {constraint.table} ({constraint.definition or constraint.kind})"


def _indexes(before: SchemaState, after: SchemaState) -> Findings:
    """Those that a constraint has are told with it."""
    owned = {one.name for state in (before, after) for one in state.constraints.values()}
    olds = [one for one in _kept(before.indexes, before, after) if one.name not in owned]
    news = [one for one in _kept(after.indexes, before, after) if one.name not in owned]
    for old in olds:
        new = after.indexes.get(old.name)
        same = next((one for one in news if _serves_as(one, old)), None)
        if new is None and same is not None:
            yield _left("renamed_index", old.table, f"The index {old.name} is called {same.name}.")
        elif new is None:
            yield _red("lost_index", old.table, f"The index {old.name} of {old.table} is gone.")
        elif old.definition and new.definition and old.definition != new.definition:
            told = f"The index {old.name} was {old.definition} and is {new.definition}."
            yield _red("changed_index", old.table, told)
    for new in news:
        if new.name in before.indexes or any(_serves_as(new, old) for old in olds):
            continue
        told = f"The index {new.name} of {new.table} was left behind"
        if new.unique:
            yield _red("left_index", new.table, f"{told}: it is unique, and may refuse what was allowed.")
        else:
            yield _left("left_index", new.table, f"{told}.")


def _serves_as(new: IndexState, old: IndexState) -> bool:
    """Whether it differs in nothing but its name."""
    parts = [one.definition.partition(" USING ")[2] for one in (new, old)]
    return bool(parts[0]) and parts[0] == parts[1] and (new.table, new.unique) == (old.table, old.unique)


def _sequences(before: SchemaState, after: SchemaState) -> Findings:
    for old in _missing(before.sequences, after.sequences):
        if old.owned_by is None or old.owned_by.rpartition(".")[0] in after.tables:
            yield _red("lost_sequence", old.name, f"The sequence {old.name} is gone.")
    for new in _missing(after.sequences, before.sequences):
        if new.owned_by is None or new.owned_by.rpartition(".")[0] in before.tables:
            yield _left("left_sequence", new.name, f"The sequence {new.name} was left behind.")
    for old, new in _both(before.sequences, after.sequences):
        was, now = ((one.type, one.owned_by) for one in (old, new))
        if was != now:
            told = f"The sequence {old.name} was {_of(old)} and is {_of(new)}."
            yield _red("changed_sequence", old.name, told)


def _of(sequence: SequenceState) -> str:
    return f"{sequence.type}, owned by {sequence.owned_by or 'no column'}"


def _missing(these: Mapping[str, T], those: Mapping[str, T]) -> Iterator[T]:
    return (one for name, one in these.items() if name not in those)


def _both(these: Mapping[str, T], those: Mapping[str, T]) -> Iterator[tuple[T, T]]:
    return ((one, those[name]) for name, one in these.items() if name in those)


def _kept(these: Mapping[str, OfATable], before: SchemaState, after: SchemaState) -> Iterator[OfATable]:
    """Those of tables that are in both states: what was of another came or went with it."""
    for one in these.values():
        if one.table in before.tables and one.table in after.tables:
            yield one


def _red(kind: str, relation: str, what: str) -> SchemaFinding:
    return SchemaFinding(kind, relation, what, red=True)


def _left(kind: str, relation: str, what: str) -> SchemaFinding:
    return SchemaFinding(kind, relation, what)


_RULES: tuple[Callable[[SchemaState, SchemaState], Findings], ...] = (
    _tables,
    _constraints,
    _indexes,
    _sequences,
)
