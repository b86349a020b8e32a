"""The observer child: watches who waits for which lock, and the database second by second.

`python -P -m harness.db.observer`, started by `harness.db.observer_child`. Its order is one JSON line on
standard input (the database's password is in it, and nowhere else); further lines say when the migration runs
and when to end. The end of standard input ends it, too: then its parent has died.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import FrameType
from typing import Any

import psycopg

from harness.clock import monotonic
from harness.core.observation import (
    BLIND_S,
    ENDED,
    BackendSeen,
    Held,
    LogEntry,
    Observed,
    ObserverLine,
    Progress,
    as_line,
)
from harness.core.secrets import mask_texts
from harness.core.wait_fold import WaitFold
from harness.core.waits import Wait
from harness.db.backends import BackendFinder
from harness.db.counters import Counters
from harness.db.held_back import HELD_BACK_S, LOGGED_AFTER_S, HeldBack
from harness.db.observer_order import Commands, Order
from harness.db.observer_reads import LockRow, Server, by_leader
from harness.db.orphan import end_orphan
from harness.db.processes import ProcessGroups, Usage
from harness.db.replica_watch import READ_EVERY_S, Replicas
from harness.db.server_log import LogTail, fold_repeats, open_log, why_no_file
from harness.db.url import DatabaseUrl
from harness.errors import HarnessError
from harness.store import RunDirectory

__all__ = ["MIGRATING_INTERVAL_S", "POLL_INTERVAL_S", "Observer"]

log = logging.getLogger("harness.observer")

POLL_INTERVAL_S = 0.05
MIGRATING_INTERVAL_S = 0.02
MOST_OF_A_CORE = 0.25
"""The interval grows when polls take longer than this share of it: hundreds of sessions in one queue."""

LONGEST_REST_S = 0.25
"""However long a poll took, the next does not wait for longer than this."""

CLOCK_EVERY_S = 10.0
POINT_EVERY_S = 1.0
LOG_EVERY_S = 0.5
PROGRESS_EVERY_S = 0.2
FIND_EVERY_S = 0.05
"""An untraced migration may be over soon, and be one that has to be stopped."""

RECONNECT_EVERY_S = 0.25
PROCESSES_SHARE = 0.005
"""Measuring the processes may take this share of a core; with hundreds of them it is done more rarely."""

LOCKS = "locks.ndjson"
DATABASE = "database.ndjson"


class Observer:
    """`run` watches until it is told to end, then writes what is left."""

    def __init__(self, order: Order, commands: Commands) -> None:
        self._order = order
        self._commands = commands
        self._url = DatabaseUrl.parse(order.url)
        self._directory = RunDirectory(order.directory)
        self._own_name = order.application.replace("mul-migration", "mul-observer", 1)
        self._observed = Observed(interval_s=POLL_INTERVAL_S)
        self._fold = WaitFold()
        self._held_back = HeldBack()
        self._log: LogTail | None = None
        self._why_no_log = ""
        self._ahead_s = 0.0
        self._late = array("d")
        self._looked_at: float | None = None  # when the last poll that succeeded began
        self._written = {LOCKS: 0, DATABASE: 0}
        self._stopping = False
        self._migrating = False
        self._finder = BackendFinder(order.application)
        self._backends: set[int] = set()
        self._announced = False  # whether a tracer has told of a session of this migration
        self._found: dict[int, str] = {}
        self._held: dict[int, tuple[tuple[str, str | None, str, bool], ...]] = {}
        self._progress: dict[int, Progress] = {}
        self._counters = Counters()
        self._groups = ProcessGroups(order.processes)
        self._groups_after = 0.0
        self._gap_from: float | None = None
        self._trouble = ""
        replica = None if order.replica is None else DatabaseUrl.parse(order.replica)
        self._replicas = Replicas(replica, self._own_name, lambda: self.now)

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return monotonic() - self._order.zero

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Have `run` end; also a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Watch; connect anew whenever the connection is lost."""
        for name in self._written:
            (self._directory.path / name).touch()
        self._observed = replace(self._observed, began_at=self.now)
        self._write_state()
        self._replicas.start()
        while not self._over:
            try:
                with Server.connect(self._url, self._own_name) as server:
                    self._watch(server)
            except (HarnessError, psycopg.Error) as error:
                self._say(_reason(error))
                self._lost()
            if not self._over:
                self._obey(RECONNECT_EVERY_S)
        if self._migrating and not self._stopping:
            end_orphan(self._groups.root("migration"), self._url, sorted(self._backends))
        self._finish()

    @property
    def _over(self) -> bool:
        return self._stopping or self._commands.ended

    def _watch(self, server: Server) -> None:
        """Until it is to end; raises psycopg.Error when the connection is gone."""
        self._meet(server)
        jobs = [
            _Job(CLOCK_EVERY_S, partial(self._set_clock, server), self.now + CLOCK_EVERY_S),
            _Job(READ_EVERY_S, partial(self._look_at_replicas, server), self.now),
            _Job(POINT_EVERY_S, partial(self._write_point, server), self.now),
            _Job(LOG_EVERY_S, self._read_log, self.now),
            _Job(PROGRESS_EVERY_S, partial(self._follow_migration, server), self.now),
            _Job(FIND_EVERY_S, partial(self._find_backends, server), self.now),
        ]
        interval = POLL_INTERVAL_S
        while not self._over:
            begun = self.now
            self._try(server, partial(self._poll, server, begun, interval))
            took = self.now - begun
            for job in jobs:
                if job.due(self.now):
                    self._try(server, job.do)
            interval = MIGRATING_INTERVAL_S if self._migrating else POLL_INTERVAL_S
            planned = begun + max(interval, min(took / MOST_OF_A_CORE, took + LONGEST_REST_S))
            self._obey(planned - self.now)
        if not server.closed:
            self._try(server, partial(self._poll, server, self.now, interval))
            self._try(server, self._read_log)

    def _meet(self, server: Server) -> None:
        """What to know of a server before watching it."""
        if self._must_open_log:
            self._log, self._why_no_log = open_log(self._order.log, server.connection)
        self._ahead_s = server.clock_ahead_s(lambda: self.now)
        self._observed = replace(
            self._observed,
            server_version=server.version,
            pooler=server.pooler,
            why_blind=server.why_blind(),
            log_read=self._log is not None,
            waits_logged=server.logs_waits(),
            why_no_log=self._why_no_log,
        )
        if self._gap_from is not None:
            self._observed = replace(self._observed, gaps=(*self._observed.gaps, (self._gap_from, self.now)))
            self._gap_from = None
        self._looked_at = self.now
        self._write_state()

    @property
    def _must_open_log(self) -> bool:
        """A file is read on across a restart of the server; a log that was once not read stays unread."""
        return not self._why_no_log and (self._log is None or self._order.log is None)

    def _try(self, server: Server, job: Callable[[], object]) -> None:
        """A query that fails costs its own answer, unless the connection went with it."""
        try:
            job()
        except psycopg.Error as error:
            self._say(_reason(error))
            if server.closed:
                raise

    def _say(self, trouble: str) -> None:
        """Into the log of this process; the same trouble over and over is said once."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s", trouble)

    def _obey(self, seconds: float) -> None:
        """Wait, and do what standard input says meanwhile."""
        for line in self._commands.wait(seconds):
            self._stopping = self._stopping or bool(line.get("stop"))
            self._backends.update(line.get("pids") or ())
            self._announced = self._announced or bool(line.get("pids"))
            self._groups.add(line.get("processes") or {})
            if "migrating" in line:
                self._migrate(bool(line["migrating"]), float(line["at"]))

    def _migrate(self, running: bool, at: float) -> None:
        if running and not self._migrating:
            self._finder.begin(at)
            self._announced = False
        self._migrating = running

    def _poll(self, server: Server, at: float, interval_s: float) -> None:
        since_s = interval_s if self._looked_at is None else at - self._looked_at
        watched = sorted(self._backends) if self._migrating else []
        seen, locks = server.locks(watched)
        sessions = server.sessions(self._fold.wanted(seen))
        sights = by_leader((sight for sight in seen if sight.pid not in server.foreign), server.leaders)
        leaders = set(server.leaders.values()).intersection(self._fold.wanted(sights))
        sessions |= server.sessions(sorted(leaders - sessions.keys()))
        self._keep(self._fold.poll(at, sights, sessions, since_s, self._ahead_s))
        self._note_held(server, at, watched, locks)
        self._late.append(max(0.0, since_s - interval_s))
        self._note_blindness(at)
        self._looked_at = at
        self._observed = replace(self._observed, polls=self._observed.polls + 1)

    def _note_blindness(self, until: float) -> None:
        """The time since the last poll that succeeded, where it was long: they were slow, late, or failed."""
        if self._looked_at is not None and until - self._looked_at > BLIND_S:
            blind = (*self._observed.blind, (self._looked_at, until))
            self._observed = replace(self._observed, blind=blind)

    def _note_held(self, server: Server, at: float, pids: list[int], locks: list[LockRow]) -> None:
        names = server.names(())
        for pid in pids:
            held = tuple(
                (*names.get(lock.relation_oid, (str(lock.relation_oid), None)), lock.mode, lock.granted)
                for lock in locks
                if lock.pid == pid
            )
            held = tuple(sorted(set(held), key=str))
            if held != self._held.get(pid, ()):
                self._held[pid] = held
                self._note(Held(at, pid, held))

    def _follow_migration(self, server: Server) -> None:
        """Its sessions in the server, and how far its commands say they are; only what has changed."""
        if not (self._migrating or self._progress):
            return
        steps = {step.pid: step for step in server.progress(self.now, sorted(self._backends))}
        for pid, step in steps.items():
            before = self._progress.get(pid)
            if before is None or (before.phase, _percent(before)) != (step.phase, _percent(step)):
                self._note(step)
        for pid, step in self._progress.items():
            if pid not in steps:
                self._note(Progress(self.now, pid, step.command, ENDED, relation=step.relation))
        self._progress = steps

    def _find_backends(self, server: Server) -> None:
        """The migration's sessions that its tracer need not have told of; each is written down once."""
        if not self._migrating:
            return
        clients = server.clients(self._ahead_s)
        found = self._finder.find(clients, self._groups.root("migration"), self._announced, self.now)
        for pid, by in found.items():
            if self._found.get(pid) != by:
                self._found[pid] = by
                self._note(BackendSeen(self.now, pid, by))
        self._backends.update(found)

    def _set_clock(self, server: Server) -> None:
        self._ahead_s = server.clock_ahead_s(lambda: self.now)
        self._write_state()

    def _write_point(self, server: Server) -> None:
        point = server.point(self.now)
        used = Usage({}, {}, {})
        if self.now >= self._groups_after:
            begun_s = time.process_time()
            used = self._groups.measure(self.now)
            self._groups_after = self.now + (time.process_time() - begun_s) / PROCESSES_SHARE
        counted: dict[str, Any] = self._counters.count(point, server.transactions)
        server.transactions, lag_s = 0, self._replicas.lag_s
        self._note(replace(point, **vars(used), lag_s=lag_s, **counted))

    def _look_at_replicas(self, server: Server) -> None:
        for point in self._replicas.look(server, self._ahead_s):
            self._note(point)

    def _read_log(self, last: bool = False) -> None:
        entries: list[LogEntry] = []
        try:
            if self._log is not None:
                entries = self._log.last(self._ahead_s) if last else self._log.entries(self._ahead_s)
        except ValueError as error:
            self._lose_log(f"The server's log has what is not understood: {error}.")
        except OSError as error:
            self._lose_log(why_no_file(error))
        self._take_in([entry for entry in entries if entry.application != self._own_name])

    def _lose_log(self, why: str) -> None:
        self._log, self._why_no_log = None, why
        self._observed = replace(self._observed, log_read=False, why_no_log=why)

    def _take_in(self, entries: list[LogEntry]) -> None:
        names = {str(wait.relation_oid): wait.relation for wait in (*self._held_back.waits, *self._fold.open)}
        for entry in fold_repeats(entries):
            self._note(replace(entry, relation=names.get(str(entry.relation), entry.relation)))
        self._held_back.learn(entries, self.now)
        self._release(HELD_BACK_S)

    def _keep(self, waits: list[Wait]) -> None:
        """Write the waits, those that the log will tell more of a little later."""
        for wait in waits:
            if self._log is not None and self.now - wait.started_at >= LOGGED_AFTER_S:
                self._held_back.waits.append(wait)
            else:
                self._append(LOCKS, asdict(wait))

    def _release(self, older_s: float) -> None:
        for wait in self._held_back.release(self.now - older_s):
            self._append(LOCKS, asdict(wait))

    def _lost(self) -> None:
        """The connection is gone, or could not be had."""
        self._keep(self._fold.lost(POLL_INTERVAL_S))
        if self._gap_from is None:
            self._gap_from = self.now if self._looked_at is None else self._looked_at
        self._looked_at = None

    def _finish(self) -> None:
        self._replicas.stop()
        if self._order.log is not None:
            self._read_log(last=True)
        self._release(0.0)
        for wait in self._fold.last():
            self._append(LOCKS, asdict(wait))
        now = self.now
        self._note_blindness(now)
        gaps = self._observed.gaps + (((self._gap_from, now),) if self._gap_from is not None else ())
        why = self._observed.why_blind or (self._trouble if self._observed.polls == 0 else "")
        waits, lines = self._written[LOCKS], self._written[DATABASE]
        self._observed = replace(
            self._observed, ended_at=now, gaps=gaps, why_blind=why, waits=waits, lines=lines
        )
        self._write_state()
        self._directory.close()

    def _write_state(self) -> None:
        late = sorted(self._late)
        self._observed = replace(
            self._observed,
            late_p99_s=round(late[int(0.99 * (len(late) - 1))], 6) if late else None,
            late_max_s=round(late[-1], 6) if late else None,
            backends=tuple(sorted(self._backends)),
        )
        self._directory.write_json("observer.json", asdict(self._observed))

    def _note(self, value: ObserverLine) -> None:
        self._append(DATABASE, as_line(value))

    def _append(self, name: str, line: dict[str, Any]) -> None:
        self._directory.append_line(name, mask_texts(line))
        self._written[name] += 1


@dataclass
class _Job:
    """Something done now and then, between polls."""

    every_s: float
    do: Callable[[], object]
    next_at: float

    def due(self, now: float) -> bool:
        if now < self.next_at:
            return False
        self.next_at = max(self.next_at + self.every_s, now)
        return True


def _percent(step: Progress) -> int | None:
    return None if step.done_ratio is None else int(100 * step.done_ratio)


def _reason(error: Exception) -> str:
    """In one line; psycopg's own text of a failed connection may quote more than is meant for a file."""
    if isinstance(error, psycopg.Error):
        return error.diag.message_primary or type(error).__name__
    return str(error)


def main() -> int:
    """Read the order, watch, end."""
    commands = Commands(sys.stdin.fileno())
    told = commands.first()
    if told is None:
        return 2
    observer = Observer(Order.from_json(told), commands)
    signal.signal(signal.SIGTERM, observer.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    observer.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
