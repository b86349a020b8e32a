"""Through which schemas and databases the migration went, step by step, and which version table each has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.core.trace import Context, Record, RevisionRun, VersionTable
from harness.core.trace_locks import Database

__all__ = ["Contexts"]

_TABLES = ("r", "p")

_Run = tuple[int, int]
"""A process and the number it gave to its context."""


@dataclass(eq=False)
class _Open:
    """A context, its end still to come. `seen` are the schemas of the tables with the version table's name
    that its transactions had locked."""

    told: Context
    database: Database | None = None
    seen: set[int] = field(default_factory=set)


class Contexts:
    """Takes what the tracer has from Alembic. `steps` are those of all contexts, in order."""

    def __init__(self) -> None:
        self._contexts: dict[_Run, _Open] = {}
        self.steps: list[RevisionRun] = []

    def begin(self, record: Record) -> None:
        """Take a `context` record."""
        table = VersionTable(record["version_table"] or "alembic_version", record["version_table_schema"])
        self._contexts[_run(record)] = _Open(Context(len(self._contexts) + 1, table))

    def heads(self, record: Record) -> None:
        """Take a `heads` record."""
        found = self._contexts[_run(record)]
        found.told = replace(found.told, heads_before=tuple(record["heads"]))

    def end(self, record: Record) -> None:
        """Take a `context_end` record."""
        found = self._contexts[_run(record)]
        heads = record["heads"]
        found.told = replace(
            found.told,
            heads_after=None if heads is None else tuple(heads),
            ok=record["ok"],
            error=record["error"],
        )

    def step_begins(self, record: Record) -> None:
        """Take a `rev_begin` record."""
        self.steps.append(
            RevisionRun(
                revision=record["revision"],
                down_revisions=tuple(record["down_revisions"]),
                is_upgrade=record["is_upgrade"],
                is_stamp=record["is_stamp"],
                doc=record["doc"],
                started_mono=record["mono"],
                ended_mono=None,
                ok=None,
                context=self.number(record),
            )
        )

    def step_ends(self, record: Record) -> None:
        """Take a `rev_end` record."""
        sought = record["revision"], self.number(record), None
        for index, step in reversed(list(enumerate(self.steps))):
            if (step.revision, step.context, step.ended_mono) == sought:
                ended = replace(step, ended_mono=record["mono"], ok=record["ok"], error=record.get("error"))
                self.steps[index] = ended
                return

    def number(self, record: Record) -> int | None:
        """The context that a `begin`, `more`, `rev_begin` or `rev_end` record belongs to."""
        found = self._contexts.get(_run(record))
        return found.told.number if found else None

    def belongs(self, record: Record, database: Database) -> None:
        """A statement was sent to this database: Alembic's own say which one the context migrates."""
        found = self._contexts.get(_run(record))
        if found is not None and found.database is None and record["step"] == "version":
            found.database = database

    def locked(self, number: int | None, record: Record) -> None:
        """Look for the version table in the `snapshot` after a statement of context `number`."""
        for found in self._contexts.values():
            if found.told.number != number:
                continue
            for row in record["locks"]:
                schema_oid, _, name = (row[5] or "").partition(".")
                if name == found.told.table.name and row[2] in _TABLES:
                    found.seen.add(int(schema_oid))

    def all(self) -> tuple[Context, ...]:
        """The contexts so far, in the order in which they began.

        One that shares its transaction with an earlier one sees that one's table locked too: its own is the
        one that the earlier did not have, unless both have the same.
        """
        taken: dict[Database | None, set[int]] = {}
        found = []
        for context in self._contexts.values():
            others = taken.setdefault(context.database, set())
            own = context.seen - others or context.seen
            schema_oid = next(iter(own)) if len(own) == 1 else None
            others |= own
            label = context.database.label if context.database else None
            table = replace(context.told.table, schema_oid=schema_oid, database=label)
            found.append(replace(context.told, table=table))
        return tuple(found)


def _run(record: Record) -> _Run:
    return record["process"], record.get("run") or 0
