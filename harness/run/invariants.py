"""The plan's invariants: refused before the load where they do not hold, and asked again when they must."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from harness.core.counted import counted
from harness.core.events import Kind
from harness.core.invariants import Answer, When, named_invariants
from harness.core.plan import Plan
from harness.db.invariants import ask
from harness.db.url import DatabaseUrl
from harness.errors import UsageError
from harness.run.episode import Note

__all__ = ["Invariants"]


class Invariants:
    """The queries by their names, and what they returned `before` the load."""

    def __init__(self, queries: Mapping[str, str], url: str | None) -> None:
        self._queries = dict(queries) if url is not None else {}
        self._url = url or ""
        self.before = {name: self._ask(name) for name in self._queries}

    @classmethod
    def of(cls, plan: Plan, url: str | None) -> Invariants:
        """Those of a plan; raises UsageError for one that does not hold now, or that is no query."""
        found = cls(named_invariants(plan) if plan.migrates else {}, url)
        for name, answer in found.before.items():
            _check(name, answer)
        return found

    def note_before(self, note: Note) -> None:
        """Write down what was returned before the load."""
        for name, answer in self.before.items():
            _note(note, name, When.BEFORE, answer)

    def ask(self, when: str, note: Note) -> None:
        """Ask all of them, and write down what they return."""
        for name in self._queries:
            _note(note, name, when, self._ask(name))

    def _ask(self, name: str) -> Answer:
        return ask(DatabaseUrl.parse(self._url), self._queries[name])


def _note(note: Note, name: str, when: str, answer: Answer) -> None:
    note(Kind.INVARIANT, name=name, when=when, **asdict(answer))


def _check(name: str, answer: Answer) -> None:
    if answer.rows:
        examples = f", such as {', '.join(answer.examples)}" if answer.examples else ""
        raise UsageError(
            f"--invariant {name} returns {counted(answer.rows, 'row')} before the migration{examples}: it"
            " does not hold now, so nothing would follow from its not holding afterwards.",
            "Narrow the query to what holds now, or mend the data.",
        )
    if answer.error and not answer.missing:
        raise UsageError(
            f"--invariant {name} was not answered: {answer.error}.",
            "Mend the query. It runs as a subquery in a transaction that may only read.",
        )
