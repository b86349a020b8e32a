"""The schema's state at one instant, as the catalog tells it. Read by `db/catalog.py`, compared in the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ConstraintState", "IndexState", "SchemaState", "SequenceState", "TableState", "schema_state"]


@dataclass(frozen=True)
class TableState:
    """A table, partitioned table, view or materialized view. Names are as PostgreSQL prints them.

    `rows` is the planner's estimate (None: never analyzed), `bytes` the total size with indexes and TOAST.
    `acl` are the grants as `relacl` prints them, `policies` the names of row-level security policies,
    `options` are reloptions (`security_invoker=true` of a view). `statistics` counts the columns of which
    there are statistics, `visible_ratio` the share of pages marked all-visible.
    """

    name: str
    kind: str
    owner: str
    persistence: str = "p"
    rows: float | None = None
    bytes: int | None = None
    acl: tuple[str, ...] = ()
    row_security: bool = False
    force_row_security: bool = False
    policies: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)  # name → type, "not null" appended
    statistics: int | None = None
    visible_ratio: float | None = None
    partition_of: str | None = None


@dataclass(frozen=True)
class IndexState:
    """An index; one that is not `valid` but `ready` still enforces uniqueness."""

    name: str
    table: str
    definition: str
    valid: bool = True
    ready: bool = True
    unique: bool = False
    bytes: int | None = None


@dataclass(frozen=True)
class ConstraintState:
    """A constraint, `kind` as in `pg_constraint.contype`."""

    name: str
    table: str
    kind: str
    definition: str
    valid: bool = True


@dataclass(frozen=True)
class SequenceState:
    """A sequence with the column that owns it and that column's type."""

    name: str
    type: str
    owned_by: str | None = None
    column_type: str | None = None


@dataclass(frozen=True)
class SchemaState:
    """Everything, by name; `error` says why it could not be read (then it is empty), "" when it could."""

    at: float
    tables: Mapping[str, TableState] = field(default_factory=dict)
    indexes: Mapping[str, IndexState] = field(default_factory=dict)
    constraints: Mapping[str, ConstraintState] = field(default_factory=dict)  # "table.name" → state
    sequences: Mapping[str, SequenceState] = field(default_factory=dict)
    error: str = ""


def schema_state(told: Mapping[str, Any]) -> SchemaState:
    """From `catalog_before.json` or `catalog_after.json`, which hold `dataclasses.asdict` of a state."""
    kinds: dict[str, type[Any]] = {
        "tables": TableState,
        "indexes": IndexState,
        "constraints": ConstraintState,
        "sequences": SequenceState,
    }
    parts = {
        name: {key: kind(**_tupled(kind, value)) for key, value in (told.get(name) or {}).items()}
        for name, kind in kinds.items()
    }
    return SchemaState(at=float(told.get("at", 0.0)), error=str(told.get("error", "")), **parts)


def _tupled(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: item for key, item in value.items() if key in kind.__dataclass_fields__}
    return {key: tuple(item) if isinstance(item, list) else item for key, item in known.items()}
