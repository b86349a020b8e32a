"""Which revision is running: the one place where Alembic loops over the steps is
`MigrationContext.run_migrations`."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator
from typing import Any

from .channel import emit, fail


class _Mark:
    """What a thread is doing: in `run` number n, revision r, its own code (`migration`) or Alembic's
    (`version`)."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.revision: str | None = None
        self.step = "version"
        self.begun = False


_marks: dict[int, list[_Mark]] = {}
_runs = itertools.count(1)


def current() -> tuple[str | None, str | None]:
    """(revision, step) of this thread; of a helper thread, that of the only migration running."""
    stack = _marks.get(threading.get_ident())
    if not stack and len(_marks) == 1:
        stack = next(iter(_marks.values()), None)
    return (stack[-1].revision, stack[-1].step) if stack else (None, None)


def hook(module: Any) -> None:
    context = module.MigrationContext
    original = context.run_migrations

    @functools.wraps(original)
    def run_migrations(self: Any, **kwargs: Any) -> None:
        if self.as_sql or self._migrations_fn is None:
            return original(self, **kwargs)  # type: ignore[no-any-return]
        return _run_marked(self, original, kwargs)

    context.run_migrations = run_migrations


def _run_marked(context: Any, original: Any, kwargs: dict[str, Any]) -> None:
    thread = threading.get_ident()
    mark = _Mark(next(_runs))
    steps = context._migrations_fn

    def marked(*args: Any, **kw: Any) -> Iterator[Any]:
        for step in steps(*args, **kw):
            _begin(mark, step)
            yield step
            _end(mark, ok=True)

    _marks.setdefault(thread, []).append(mark)
    context._migrations_fn = marked
    try:
        original(context, **kwargs)
    finally:
        # After an exception the generator lives as long as the traceback does, so the mark is cleared here.
        context._migrations_fn = steps
        _end(mark, ok=False)
        _marks[thread].remove(mark)
        if not _marks[thread]:
            del _marks[thread]


def _begin(mark: _Mark, step: Any) -> None:
    try:
        info = step.info
        up, down = list(info.up_revision_ids), list(info.down_revision_ids)
        mark.revision = up[0] if up else None  # a stamp down to base has none
        mark.begun = True
        emit(
            "rev_begin",
            run=mark.run,
            revision=mark.revision,
            down_revisions=down,
            is_upgrade=bool(info.is_upgrade),
            is_stamp=bool(info.is_stamp),
            doc=getattr(step, "doc", None),
        )
        _mark_own_code(mark, step)
    except Exception as error:
        fail("alembic step", error)


def _mark_own_code(mark: _Mark, step: Any) -> None:
    own = step.migration_fn

    # Alembic prints the function's name in its "Running upgrade" line.
    @functools.wraps(own)
    def migration_fn(*args: Any, **kwargs: Any) -> Any:
        mark.step = "migration"
        result = own(*args, **kwargs)
        mark.step = "version"
        return result

    step.migration_fn = migration_fn


def _end(mark: _Mark, ok: bool) -> None:
    if mark.begun:
        emit("rev_end", run=mark.run, revision=mark.revision, ok=ok)
    mark.begun = False
    mark.revision = None
    mark.step = "version"
