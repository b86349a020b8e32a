"""The shape of a schema: what a migration is written to change, without sizes, statistics and oids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.core.schema_state import SchemaState

__all__ = ["Shape", "changes", "indexes", "invalid_indexes", "shape_of"]

INVALID = "INVALID"
_MARKS = (f"{INVALID} ", "NOT VALID ")
"""What stands before the definition of an index or a constraint that does not hold of all rows."""

Shape = Mapping[str, str]
"""What there is, each thing by its kind and name, with what it is."""


def shape_of(state: SchemaState) -> Shape:
    """The shape of a state that could be read."""
    return dict(_things(state))


def _things(state: SchemaState) -> Iterator[tuple[str, str]]:
    for table in state.tables.values():
        yield f"table {table.name}", table.kind
        yield from ((f"column {table.name}.{name}", kind) for name, kind in table.columns.items())
    for index in state.indexes.values():
        yield f"index {index.name}", f"{'' if index.valid else _MARKS[0]}{index.definition}"
    for constraint in state.constraints.values():
        validity = "" if constraint.valid else _MARKS[1]
        definition = constraint.definition.removesuffix(" NOT VALID")  # as PostgreSQL tells it
        yield f"constraint {constraint.name} of {constraint.table}", f"{validity}{definition}"
    for sequence in state.sequences.values():
        yield f"sequence {sequence.name}", sequence.type


def changes(before: Shape, after: Shape) -> tuple[str, ...]:
    """What differs, in words for a person, by name.

    >>> changes({"column t.a": "integer"}, {"column t.a": "bigint", "column t.b": "text"})
    ('column t.a is bigint, not integer', 'column t.b is there')
    """
    found = []
    for name in sorted({*before, *after}):
        if name not in before:
            invalid = ", INVALID" if after[name].startswith(INVALID) else ""
            found.append(f"{name} is there{invalid}")
        elif name not in after:
            found.append(f"{name} is gone")
        elif before[name] != after[name]:
            found.append(f"{name} is {_other(before[name], after[name])}")
    return tuple(found)


def _other(before: str, after: str) -> str:
    """What a thing is now; of one that is only valid now, or no longer, that alone."""
    for mark in _MARKS:
        if after == f"{mark}{before}":
            return mark.strip()
        if before == f"{mark}{after}":
            return "valid"
    return f"{after}, not {before}"


def invalid_indexes(shape: Shape) -> set[str]:
    """The names of the indexes that are INVALID."""
    return {name for name in indexes(shape) if shape[f"index {name}"].startswith(INVALID)}


def indexes(shape: Shape) -> set[str]:
    """The names of all indexes."""
    return {name.removeprefix("index ") for name in shape if name.startswith("index ")}
