"""What a run that rolls back looks at besides: the rows of its databases, before the load and in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from harness.db.contents import DatabaseContents
from harness.db.url import DatabaseUrl
from harness.run.databases import Database
from harness.store import RunDirectory, part_of

__all__ = ["RowsWatch"]


class RowsWatch:
    """Reads the rows before the load, when it is made; `at` in its methods is the instant in run time."""

    def __init__(self, databases: Iterable[Database]) -> None:
        self._contents = {one.key: DatabaseContents(DatabaseUrl.parse(one.url)) for one in databases}
        for contents in self._contents.values():
            contents.read()

    @classmethod
    def of(cls, databases: Sequence[Database], say: Callable[[str], None]) -> RowsWatch:
        """Of the databases in which a migration will be rolled back; says that it takes some seconds."""
        if databases:
            say("reading the rows that the rollback has to bring back")
        return cls(databases)

    def launch(self, at: float) -> None:
        """See what the traffic did to them, just before the migration begins."""
        for contents in self._contents.values():
            contents.look(at)

    def migrated(self) -> None:
        """The migrations of a phase have ended: what is written from here on is the traffic's."""
        for contents in self._contents.values():
            contents.migrated()

    def launch_back(self) -> None:
        """The rollback is about to begin."""
        for contents in self._contents.values():
            contents.launched()

    def end(self, at: float, directory: RunDirectory) -> None:
        """Write down what became of them."""
        for key, contents in self._contents.items():
            part = part_of(key) if key else ""
            directory.write_json(f"{part}contents.json", asdict(contents.compare(at)))
