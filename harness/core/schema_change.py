"""Two states of a schema side by side, and what is said of a difference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.core.schema_state import SchemaState, SequenceState, TableState

__all__ = ["SchemaChange", "SchemaFinding"]


@dataclass(frozen=True)
class SchemaFinding:
    """`what` is a sentence or two for a person, `remedy` SQL to run by hand ("" when there is none).

    `red` findings fail the gate `catalog`.
    """

    kind: str
    relation: str
    what: str
    red: bool = False
    remedy: str = ""


@dataclass(frozen=True)
class SchemaChange:
    """The schema before and after a migration."""

    before: SchemaState
    after: SchemaState

    @cached_property
    def tables(self) -> tuple[tuple[TableState, TableState], ...]:
        """Those in both states, old and new: of the same name, or else the same table under a new name."""
        by_oid = {table.oid: table for table in self.before.tables.values() if table.oid}
        news = self.after.tables.values()
        olds = ((self.before.tables.get(new.name) or by_oid.get(new.oid), new) for new in news)
        return tuple((old, new) for old, new in olds if old is not None)

    @property
    def stored(self) -> tuple[tuple[TableState, TableState], ...]:
        """Of `tables` those that hold rows, before and after: no view that took the name of a table."""
        return tuple(pair for pair in self.tables if all(table.kind in ("r", "p", "m") for table in pair))

    def old(self, table: TableState) -> TableState | None:
        """What `table`, of the state after, was before; None when it is new."""
        return self._old.get(table.name)

    @cached_property
    def _old(self) -> dict[str, TableState]:
        return {new.name: old for old, new in self.tables}

    @cached_property
    def sequences(self) -> tuple[tuple[SequenceState, SequenceState], ...]:
        """Those in both states, old and new: of the same name, or else owned by the same column."""
        before = self.before.sequences.values()
        by_column: dict[str | None, SequenceState] = {one.owned_by: one for one in before if one.owned_by}
        news = self.after.sequences.values()
        olds = ((self.before.sequences.get(new.name) or by_column.get(new.owned_by), new) for new in news)
        return tuple((old, new) for old, new in olds if old is not None)
