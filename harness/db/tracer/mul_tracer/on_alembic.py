"""Which revision is running, and in which version table it is written down: the one place where Alembic
loops over the steps is `MigrationContext.run_migrations`, once for each schema or database of env.py."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from .channel import emit, fail, first_line


class Place(NamedTuple):
    """Where a statement belongs: all None outside Alembic's loop."""

    revision: str | None = None
    step: str | None = None
    run: int | None = None


class _Mark:
    """What a thread is doing: in `run` number n, revision r, its own code (`migration`) or Alembic's
    (`version`). `heads` are those of the version table, as far as Alembic got."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.revision: str | None = None
        self.step = "version"
        self.begun = False
        self.heads: list[str] | None = None

    def keep_heads(self, heads: Any, **_: Any) -> None:
        """Called by Alembic whenever it has changed the version table."""
        self.heads = sorted(str(head) for head in heads)


_marks: dict[int, list[_Mark]] = {}
_runs = itertools.count(1)


def current() -> Place:
    """The place of this thread; of a helper thread, that of the only migration running."""
    stack = _marks.get(threading.get_ident())
    if not stack and len(_marks) == 1:
        stack = next(iter(_marks.values()), None)
    return Place(stack[-1].revision, stack[-1].step, stack[-1].run) if stack else Place()


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
    steps, callbacks = context._migrations_fn, tuple(getattr(context, "on_version_apply_callbacks", ()))

    def marked(heads: Any, *args: Any, **kw: Any) -> Iterator[Any]:
        mark.keep_heads(heads)
        emit("heads", run=mark.run, heads=mark.heads)
        for step in steps(heads, *args, **kw):
            _begin(mark, step)
            yield step
            _end(mark)

    _marks.setdefault(thread, []).append(mark)
    emit(
        "context",
        run=mark.run,
        version_table=getattr(context, "version_table", None),
        version_table_schema=getattr(context, "version_table_schema", None),
    )
    context._migrations_fn = marked
    context.on_version_apply_callbacks = (*callbacks, mark.keep_heads)
    failure: BaseException | None = None
    try:
        original(context, **kwargs)
    except BaseException as error:
        failure = error
        raise
    finally:
        # After an exception the generator lives as long as the traceback does, so the mark is cleared here.
        context._migrations_fn, context.on_version_apply_callbacks = steps, callbacks
        _end(mark, failure)
        emit("context_end", run=mark.run, ok=failure is None, heads=mark.heads, error=_told(failure))
        _marks[thread].remove(mark)
        if not _marks[thread]:
            del _marks[thread]
        failure = None  # a frame that keeps its own exception is never freed


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


def _end(mark: _Mark, failure: BaseException | None = None) -> None:
    if mark.begun:
        emit("rev_end", run=mark.run, revision=mark.revision, ok=failure is None, error=_told(failure))
    mark.begun = False
    mark.revision = None
    mark.step = "version"


def _told(failure: BaseException | None) -> str | None:
    return None if failure is None else f"{type(failure).__name__}: {first_line(failure)}"
