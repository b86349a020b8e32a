"""The schema's state at one instant, as the catalog tells it. Read by `db/catalog.py`, compared in the core.

Relations are named with their schema unless it is `public`, and every name (of columns, roles, policies, …)
is quoted where SQL needs it, as `quote_ident` does: `busy`, `other.t`, `"My Table"`, `other."My Table"`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ConstraintState",
    "IndexState",
    "SchemaState",
    "SequenceState",
    "TableState",
    "schema_state",
    "sizes",
]

_SCHEMA = re.compile(r'^(?:"(?:[^"]|"")*"|[^".]*)\.')


@dataclass(frozen=True)
class TableState:
    """A table, partitioned table, foreign table, view or materialized view; `kind` as `pg_class.relkind`.

    `rows` is the planner's estimate (None: never analyzed), `bytes` the total size with indexes and TOAST.
    `acl` are the privileges of everyone but the owner, those on columns with the column (`UPDATE (note)`),
    `policies` the row-level security policies with what follows `CREATE POLICY … ON …`, `options` are
    reloptions (`security_invoker=true` of a view). `statistics` are the columns the planner has statistics
    of (None: the role may not know), `visible_ratio` is the share of pages marked all-visible (None: no
    pages, or their number is not known). `owner_bypasses`: row-level security never holds for the owner,
    a superuser or a role with BYPASSRLS. `reads` are the relations a view reads itself. `defaults` are the
    expressions of columns that have one, generated ones too (None: they could not be read).
    """

    name: str
    kind: str
    owner: str
    oid: int = 0
    persistence: str = "p"
    rows: float | None = None
    bytes: int | None = None
    acl: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # role or PUBLIC → privileges
    row_security: bool = False
    force_row_security: bool = False
    owner_bypasses: bool = False
    policies: Mapping[str, str] = field(default_factory=dict)  # name → definition
    options: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)  # name → type, "not null" appended
    statistics: tuple[str, ...] | None = None
    visible_ratio: float | None = None
    partition_of: str | None = None
    reads: tuple[str, ...] = ()
    defaults: Mapping[str, str] | None = None  # name → expression


@dataclass(frozen=True)
class IndexState:
    """An index; one that is not `valid` but `ready` still enforces uniqueness.

    `columns` are its key columns in order, "" for an expression; `definition` is "" when it could not be had.
    """

    name: str
    table: str
    definition: str
    valid: bool = True
    ready: bool = True
    unique: bool = False
    bytes: int | None = None
    partitioned: bool = False
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConstraintState:
    """A constraint of a table itself, not one that a partition or a child has from its parent.

    `kind` as in `pg_constraint.contype`: c check, f foreign key, n not null (from PostgreSQL 18), p primary
    key, u unique, x exclusion. One that is not `enforced` (PostgreSQL 18) is not meant to be valid.
    """

    name: str
    table: str
    kind: str
    definition: str
    valid: bool = True
    enforced: bool = True
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SequenceState:
    """A sequence with the column that owns it (`table.column`) and that column's type."""

    name: str
    type: str
    owned_by: str | None = None
    column_type: str | None = None
    identity: bool = False
    acl: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SchemaState:
    """Everything, by name; `error` says why it could not be read (then it is empty), "" when it could.

    `unread` says, in sentences, what of it could not be read.
    """

    at: float
    tables: Mapping[str, TableState] = field(default_factory=dict)
    indexes: Mapping[str, IndexState] = field(default_factory=dict)
    constraints: Mapping[str, ConstraintState] = field(default_factory=dict)  # "table.name" → state
    sequences: Mapping[str, SequenceState] = field(default_factory=dict)
    error: str = ""
    unread: tuple[str, ...] = ()


def schema_state(told: Mapping[str, Any]) -> SchemaState:
    """From `catalog_before.json` or `catalog_after.json`, which hold `dataclasses.asdict` of a state."""
    kinds: dict[str, type[Any]] = {
        "tables": TableState,
        "indexes": IndexState,
        "constraints": ConstraintState,
        "sequences": SequenceState,
    }
    parts = {
        name: {key: kind(**_known(kind, value)) for key, value in (told.get(name) or {}).items()}
        for name, kind in kinds.items()
    }
    return SchemaState(
        at=float(told.get("at", 0.0)),
        error=str(told.get("error", "")),
        unread=tuple(told.get("unread") or ()),
        **parts,
    )


def _known(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _tupled(item) for key, item in value.items() if key in kind.__dataclass_fields__}


def _tupled(value: Any) -> Any:
    """JSON knows no tuples."""
    if isinstance(value, list):
        return tuple(value)
    return {key: _tupled(item) for key, item in value.items()} if isinstance(value, dict) else value


def sizes(state: SchemaState) -> dict[str, TableState]:
    """The tables by every name that a session may print for them, whatever its search path.

    Besides its own name, `t` in the schema public is also `public.t`, and `other.t` is also `t` when no other
    schema has a `t`: a search path that leads to `other` makes PostgreSQL print it so.
    """
    bare = {name: _SCHEMA.sub("", name) for name in state.tables}
    often = Counter(bare.values())
    also = {short: state.tables[name] for name, short in bare.items() if often[short] == 1}
    public = {f"public.{name}": state.tables[name] for name, short in bare.items() if name == short}
    return {**public, **also, **state.tables}
