"""The shape of a statement: what its text asks for, as far as advice must know. Built by `db/parsing.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Action", "Parse", "Shape"]


@dataclass(frozen=True)
class Action:
    """One thing a statement does. An ALTER TABLE with three subcommands is three actions.

    `verb` is one of `VERBS`. `relation` is the table (or view, sequence, type, domain) as the text names it,
    in PostgreSQL's printing (`harness.core.names`), schema kept where written; None where the text names no
    table, as DROP INDEX. `name` is the new or the dropped thing: column, index, constraint, trigger, policy,
    partition or new name. `columns` are those it names (of an index also expressions), `type` a column's new
    type or an index's method, `default` the text of its default, `references` a foreign key's parent,
    `expression` a CHECK's or a generated column's expression, an index's or a row change's WHERE, a
    partition's bounds, the mode of LOCK TABLE or the setting of SET. `rest` is what a constraint, an index or
    an enum's value says besides: INCLUDE, NULLS NOT DISTINCT, ON DELETE, DEFERRABLE, BEFORE; in a column's
    REFERENCES the parent's columns too. `flags` are words of `FLAGS`.
    """

    verb: str
    relation: str | None = None
    name: str | None = None
    columns: tuple[str, ...] = ()
    type: str | None = None
    default: str | None = None
    references: str | None = None
    expression: str | None = None
    flags: frozenset[str] = frozenset()
    rest: str | None = None


VERBS = (
    *("create_table", "create_table_as", "create_partition", "drop_table", "truncate", "rename_table"),
    *("set_schema", "rename_schema", "drop_schema", "attach_partition", "detach_partition"),
    *("add_column", "drop_column", "rename_column", "alter_type", "set_not_null", "drop_not_null"),
    *("set_default", "drop_default", "set_statistics", "set_storage", "add_identity", "drop_identity"),
    *("add_check", "add_not_null", "add_foreign_key", "add_unique", "add_primary_key", "add_exclude"),
    *("drop_constraint", "validate_constraint", "rename_constraint"),
    *("create_index", "drop_index", "reindex", "alter_index", "cluster", "vacuum", "analyze"),
    *("set_logged", "set_unlogged", "set_tablespace", "set_options", "replica_identity", "owner"),
    *("create_trigger", "drop_trigger", "enable_trigger", "disable_trigger"),
    *("enable_rls", "disable_rls", "force_rls", "create_policy", "drop_policy", "grant", "revoke"),
    *("create_view", "drop_view", "create_matview", "drop_matview", "refresh_matview"),
    *("create_type", "drop_type", "add_enum_value", "rename_enum_value", "alter_domain", "create_domain"),
    *("create_sequence", "alter_sequence", "drop_sequence", "create_function", "create_extension"),
    *("comment", "create_statistics", "lock_table", "set", "reset", "do", "transaction"),
    *("create_rule", "drop_function", "publication"),
    *("insert", "update", "delete", "merge", "copy", "select", "other"),
)

FLAGS = (
    *("concurrently", "unique", "not_valid", "not_null", "nullable", "if_exists", "if_not_exists"),
    *("using_index", "where", "cascade", "constant_default", "stable_default", "volatile_default"),
    *("stored", "virtual", "identity", "serial", "using", "primary_key", "check", "references", "full"),
    *("replace", "force", "only", "nowait", "local", "finalize", "all_rows", "default_partition"),
    *("temporary", "partitioned"),
)


@dataclass(frozen=True)
class Shape:
    """A statement's actions in order; `parsed` is False where its text, or a part of it, was not understood.

    `normalised` is the text with literals replaced by `?`, for grouping.
    """

    actions: tuple[Action, ...] = ()
    parsed: bool = True
    normalised: str = ""


Parse = Callable[[str], Shape]
"""From a statement's text to its shape; never raises."""
