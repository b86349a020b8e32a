"""One migration under load: its process is started, watched and, when it must be, stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.clock import Sleep, monotonic
from harness.core.events import Kind
from harness.core.reached import reached
from harness.core.secrets import mask_command
from harness.core.timeline import IMPACT_TAIL_S
from harness.errors import HarnessError
from harness.run.episode import Announce, Note
from harness.run.migration_child import Child
from harness.run.sessions import Seen, Sessions

__all__ = ["MigrationEpisode"]

LOCK_NOT_AVAILABLE = "55P03"
"""SQLSTATE of a `lock_timeout` (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

BACK_OFF_S = 1.0
"""Wait before the first retry; it doubles with each further one, up to 30 s, give or take a quarter."""

Observe = Callable[[bool, Sequence[int]], object]
"""Tells the observer whether the migration runs, and which backends are known to be its."""

Tables = Sequence[Sequence[str] | None]
"""The revisions in each version table, None where it could not be found."""


class MigrationEpisode:
    """An upgrade or downgrade, retried while it fails for want of a lock, with a deadline over all of it.

    `target` is None where only the command knows it: then `resolve` gives None, too. `must_announce`: it may
    not go on with a session of which no tracer tells, since nobody has checked which database that is in.
    `read_schema` is called with `before` and `after`. `ignored` gives the rules that the files of its
    revisions say to ignore, with their reasons; `tables` what each version table holds afterwards, as far as
    the tracer's records tell where they are; `elsewhere` says, from the same, when it never came to its own
    database. `known_as` is what tells it from others of the run in its first event: its name, its database.
    `again` says of an attempt that ended whether it was ended on purpose: then the next one begins at once.
    `records` are those of the tracer, of all attempts.
    """

    def __init__(
        self,
        number: int,
        direction: str,
        target: str | None,
        *,
        child: Callable[[int], Child],
        terminate: Callable[[Sequence[int]], object],
        revisions: Callable[[], Sequence[str]],
        resolve: Callable[[], Sequence[str] | None],
        relfilenodes: Callable[[], Mapping[int, int]],
        note: Note,
        announce: Announce,
        zero: float,
        sleep: Sleep,
        retries: int,
        deadline_s: float,
        read_schema: Callable[[str], object] = lambda _: None,
        observe: Observe = lambda *_: None,
        seen: Seen = dict,
        must_announce: bool = False,
        ignored: Callable[[], Mapping[str, str]] = dict,
        tables: Callable[[Sequence[Mapping[str, Any]]], Tables] | None = None,
        elsewhere: Callable[[Sequence[Mapping[str, Any]]], str] = lambda _: "",
        known_as: Mapping[str, Any] | None = None,
        again: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.direction = direction
        self.status = "running"
        self.ended = False
        self.first_statement_at: float | None = None
        self.impact_until = 0.0
        self._number = number
        self._target = target
        self._make_child = child
        self._terminate = terminate
        self._revisions = revisions
        self._resolve = resolve
        self._read_relfilenodes = relfilenodes
        self._read_schema = read_schema
        self._observe = observe
        self._sessions = Sessions(seen)
        self._must_announce = must_announce
        self._read_ignored = ignored
        self._read_tables = tables or self._one_table
        self._went_elsewhere = elsewhere
        self._failure = ""
        self._known_as = dict(known_as or {})
        self._is_again = again
        self._begun_again = 0
        self._ignored: Mapping[str, str] = {}
        self._expected: set[str] | None = None
        self._before: set[str] | None = None
        self._relfilenodes: Mapping[int, int] = {}
        self._wrong_database = False
        self._note = note
        self._announce = announce
        self._zero = zero
        self._sleep = sleep
        self._retries = retries
        self._deadline_s = deadline_s
        self._attempt = 0
        self._child: Child | None = None
        self._retry_at: float | None = None
        self._last_sqlstate: str | None = None
        self._began = self._begin_at = 0.0
        self._revision: str | None = None
        self._statement: str | None = None
        self._statements = 0
        self.records: list[Mapping[str, Any]] = []

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return monotonic() - self._zero

    @property
    def doing(self) -> str:
        """What the migration is doing, in a few words."""
        name, doing = self._known_as.get("name"), self._does()
        return f"{name}: {doing}" if name and doing else doing

    def _does(self) -> str:
        if self.ended:
            return f"{self._name}: {self.status}"
        if self._retry_at is not None:
            return f"waits {max(0.0, self._retry_at - self.now):.0f} s to retry (attempt {self._attempt + 1})"
        if self._child is None:
            return ""
        if self._revision is None:
            return f"{self._name}: {'running, untraced' if self._sessions.strangers else 'starting'}"
        return f"{self._revision} #{self._statements}: {self._statement or 'between statements'}"

    @property
    def _name(self) -> str:
        return f"{self.direction} {self._target}" if self._target else f"{self.direction} by command"

    def begin(self) -> None:
        """Look where the database is, then start the first attempt."""
        self._began = self.now
        self._announce("started", revision=self._target)
        self._try_to_start()

    def step(self) -> None:
        """Take in what the tracer wrote; end, retry or stop as things are."""
        if self.ended:
            return
        if self._retry_at is not None:
            if self.now >= self._retry_at:
                self._try_to_start()
        elif self._child is not None:
            code = self._child.poll()
            self._take_in(self._child.records())
            self._observe(True, self._child.backend_pids)
            self._look_for_strangers()
            if code is not None and not self.ended:
                self._ended_with(code)
        if not self.ended and self.now - self._began > self._deadline_s:
            self._stop("deadline", f"It was still running after its deadline of {self._deadline_s:g} s.")

    def abort(self) -> None:
        """Stop it if it still runs, and say that it was stopped."""
        if not self.ended:
            self._stop("stopped", "The run ended while it was running.")

    def _try_to_start(self) -> None:
        try:
            self._start()
        except HarnessError as error:  # the database does not answer, or has no connection to spare
            self._end("failed", None, str(error))

    def _start(self) -> None:
        """Begin an attempt; it has begun, and is on record, also when the database does not answer."""
        self._attempt += 1
        self._retry_at = None
        self._last_sqlstate = None
        self._failure = ""
        child: Child | None = None
        before: list[str] | None = None
        try:
            if self._attempt == 1:
                self._look_ahead()
            child = self._make_child(self._attempt)
            before = list(self._revisions())
        finally:
            self._note_begin(child, before)
        self._before = set(before) if self._attempt == 1 else self._before
        self._observe(True, ())
        child.start()
        self._child = child

    def _look_ahead(self) -> None:
        """Keep what the end is held against."""
        expected = self._resolve()
        self._expected = None if expected is None else set(expected)
        self._ignored = self._read_ignored()
        self._relfilenodes = self._read_relfilenodes()
        self._read_schema("before")

    def _note_begin(self, child: Child | None, before: list[str] | None) -> None:
        at = self._note(
            Kind.MIGRATION_BEGIN,
            episode=self._number,
            direction=self.direction,
            target=self._target,
            attempt=self._attempt,
            command=mask_command(child.order.command) if child else [],
            revisions_before=before,
            relfilenodes={str(oid): node for oid, node in self._relfilenodes.items()},
            ignored=dict(self._ignored),
            **self._known_as,
        )
        self._begin_at = at if self._attempt == 1 else self._begin_at

    def _take_in(self, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records:
            at = float(record.get("mono", monotonic())) - self._zero
            self._note(Kind.TRACE, at, episode=self._number, record=dict(record))
            self.records.append(record)
            self._watch(record, at)

    def _watch(self, record: Mapping[str, Any], at: float) -> None:
        kind = record.get("kind")
        self._sessions.take(record)
        if kind == "rev_begin":
            self._revision, self._statements = record.get("revision"), 0
        elif kind == "begin" and record.get("step") == "migration":
            self._statements += 1
            self._statement = " ".join(str(record.get("sql", "")).split())
            if self.first_statement_at is None:
                self.first_statement_at = at
            self._announce(
                "statement", statement=self._statements, revision=self._revision, sql=self._statement[:200]
            )
        elif kind == "end":
            self._statement = None
            self._last_sqlstate = record.get("sqlstate")  # of the last statement: an earlier one was survived
        elif kind in ("rev_end", "context_end") and record.get("error"):
            what = f"revision {record['revision']}" if kind == "rev_end" else "the migration"
            self._failure = self._failure or f"{what} failed ({record['error']})"
        elif kind == "wrong_database":
            self._wrong_database = True

    def _ended_with(self, code: int) -> None:
        if self._is_again(self._attempt):
            self._begun_again += 1
            self._wait_to_start(0.0)
            return
        tries = self._attempt - self._begun_again
        if code != 0 and self._last_sqlstate == LOCK_NOT_AVAILABLE and tries <= self._retries:
            back_off = min(BACK_OFF_S * 2 ** (tries - 1), 30.0)
            self._wait_to_start(back_off * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries
            return
        if code < 0 and self._child is not None:  # a backend outlives a client that was killed
            self._end_backends(self._child.backend_pids)
        if self._wrong_database:
            self._end("wrong_database", code, f"Its process ended with exit code {code}.")
        elif self._must_announce and self._went_unseen(code):
            why = self._sessions.why_untraced()
            self._end("untraced", code, f"It ended before it could be stopped: {why}")
        else:
            self._end("ok" if code == 0 else "failed", code, self._said(code))

    def _wait_to_start(self, seconds: float) -> None:
        self._observe(False, ())
        self._retry_at = self.now + seconds
        self._child = None

    def _said(self, code: int) -> str:
        if code == 0 or self._child is None:
            return ""
        log = self._child.order.log_file
        return f"Its process ended with exit code {code}; its output is in {log.parent.name}/{log.name}."

    def _went_unseen(self, code: int) -> bool:
        """Whether it ended with sessions that nobody checked: with strangers, or ok without any session."""
        return bool(self._sessions.strangers) or (code == 0 and not self._sessions.announced)

    def _look_for_strangers(self) -> None:
        """A session of which no tracer tells makes it untraced: then its impact began with its process."""
        if not self._sessions.untraced(self.now):
            return
        if self.first_statement_at is None:
            self.first_statement_at = self._begin_at
        if self._must_announce:
            self._stop("untraced", f"It was stopped: {self._sessions.why_untraced()}")

    def _end_backends(self, pids: Sequence[int]) -> None:
        """End these, and those that are seen to be surely the migration's."""
        if everything := sorted({*pids, *self._sessions.sure}):
            self._terminate(everything)

    def _stop(self, status: str, message: str) -> None:
        if self._child is not None:
            _, last = self._child.stop(self._end_backends, sleep=self._sleep)
            self._take_in(last)
            self._end_backends(())  # those of a container do not end with the command that began it
        self._end(status, self._child.poll() if self._child else None, message)

    def _end(self, status: str, code: int | None, message: str) -> None:
        tables = self._tables_after()
        after = None if tables is None else sorted({one for held in tables for one in held or ()})
        is_there = None if tables is None else self._reached(tables)
        why_elsewhere = self._went_elsewhere(self.records) if status == "ok" else ""
        if why_elsewhere:
            is_there, message = False, f"It ended ok, but it {why_elsewhere}."
        if status == "ok" and is_there is False and self._failure:
            message = f"It ended with exit code 0, but {self._failure}: env.py hides the error."
        if status == "ok" and not why_elsewhere and self._did_nothing(after):
            status, message = "nothing", "It ended ok, but ran no statement and left the revision as it was"
        self.ended = True
        self.status = status
        at = self._note(
            Kind.MIGRATION_END,
            episode=self._number,
            status=status,
            exit_code=code,
            revisions_after=after,
            reached=is_there,
            unreadable=self._child.unreadable if self._child else 0,
            sqlstate=self._last_sqlstate if status != "ok" else None,
            message=message,
        )
        if self.first_statement_at is None and status == "ok" and self._attempt:
            self.first_statement_at = self._begin_at  # as it is judged afterwards, too
        self.impact_until = at if self.first_statement_at is None else at + IMPACT_TAIL_S
        self._observe(False, ())
        self._read_schema("after")
        self._announce("finished" if status == "ok" else "failed", revision=self._target)

    def _reached(self, tables: Tables) -> bool | None:
        """Where only the command knows the target, any work of its counts; None where none was seen."""
        if self._expected is None:
            if self._before is None:
                return None
            after = {one for held in tables for one in held or ()}
            sure = self._sessions.strangers & self._sessions.sure  # another's may begin by chance meanwhile
            did = after != self._before or self._sessions.ran_statements or sure
            return True if did else None
        return reached(self.direction, self._expected, tables)

    def _did_nothing(self, after: list[str] | None) -> bool:
        """Whether a command whose target is not known is seen to have had nothing to do."""
        unchanged = self._expected is None and after is not None and set(after) == self._before
        told = self._sessions.announced and not self._sessions.strangers
        return unchanged and told and not self._sessions.ran_statements

    def _one_table(self, _: object) -> Tables:
        """Where nobody tells of version tables: an upgrade that left none has kept another, perhaps."""
        held = list(self._revisions())
        return [held if held or self.direction == "downgrade" else None]

    def _tables_after(self) -> Tables | None:
        """What each version table holds; None when the database cannot be asked."""
        try:
            return self._read_tables(self.records)
        except HarnessError:
            return None
