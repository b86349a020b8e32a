"""The migration's sessions in the server: those its tracers tell of, and strangers, which only others see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Seen", "Sessions"]

UNANNOUNCED_S = 1.0
"""How long a tracer that has said hello has to tell of a session that is seen to be the migration's."""

Seen = Callable[[], Mapping[int, str]]
"""The migration's backends as the observer sees them, each with what tells it: name, port, time
(`harness.core.observation.BackendSeen`)."""


class Sessions:
    """Takes in what tracers tell, over all attempts, and compares it with what is `seen`."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._announced: set[int] = set()
        self._hello = self._hooked_alembic = False
        self._statements = self._of_revisions = 0
        self._strange_since: float | None = None

    def take(self, record: Mapping[str, Any]) -> None:
        """Take in a record of a tracer."""
        kind = record.get("kind")
        if kind == "hello":
            self._hello = True
        elif kind == "hooked":
            self._hooked_alembic = self._hooked_alembic or record.get("library") == "alembic"
        elif kind in ("conn", "unidentified") and "backend" in record:
            self._announced.add(int(record["backend"]))
        elif kind in ("begin", "more"):
            self._statements += 1
            self._of_revisions += record.get("step") == "migration"

    @property
    def announced(self) -> bool:
        """Whether a tracer has told of any session."""
        return bool(self._announced)

    @property
    def ran_statements(self) -> bool:
        """Whether a tracer has told of a statement of a revision; where Alembic was not imported, of any."""
        return bool(self._of_revisions if self._hooked_alembic else self._statements)

    @property
    def strangers(self) -> set[int]:
        """Sessions of which no tracer tells. Those that only the time tells count while no Python of the
        migration has loaded the tracer: one that has may have yet to connect.
        """
        seen = self._seen().items()
        return {pid for pid, by in seen if pid not in self._announced and (by != "time" or not self._hello)}

    @property
    def sure(self) -> set[int]:
        """Those seen that may be ended as the migration's."""
        return {pid for pid, by in self._seen().items() if by != "time"}

    def untraced(self, now: float) -> bool:
        """Whether a stranger is there of which no tracer is going to tell any more."""
        if not self.strangers:
            self._strange_since = None
            return False
        if self._strange_since is None:
            self._strange_since = now
        return not self._hello or now - self._strange_since >= UNANNOUNCED_S

    def why_untraced(self) -> str:
        """Why it is not let go on, and what allows it."""
        pids = ", ".join(str(pid) for pid in sorted(self.strangers))
        what = f"no tracer told of session {pids}" if pids else "no tracer told of any session"
        return (
            f"{what} of its, so which database it changes was not checked. --allow-untraced-database NAME"
            " allows that."
        )
