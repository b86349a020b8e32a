"""Where the load hangs on Locust: `install` is called from an `init` listener, in every process.

local    both halves in one process, talking through the same messages
master   LoadControl alone; it runs no users
worker   LoadWorker alone; it does what the master says and ships its record once a second
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gevent
from locust.env import Environment
from locust.exception import RPCError
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from harness.clock import monotonic, wait_until
from harness.core.record import FinalRead
from harness.errors import HarnessError
from harness.load.arrivals import arrivals
from harness.load.code import Code
from harness.load.collector import LoadControl
from harness.load.health import Health
from harness.load.live import points_of
from harness.load.mail import Outbox
from harness.load.messages import LOCAL, IsolationOrder, Message, ProbeOrder, RunSettings
from harness.load.plain_clients import watch_plain_clients
from harness.load.recorder import recorder
from harness.load.valve import valve

__all__ = [
    "LoadWorker",
    "end_children_with_us",
    "install",
    "on_begin",
    "on_drop",
    "on_final_read",
    "on_isolate",
    "on_probe",
]

PARENT_WATCH_S = 0.5
FLUSH_S = 1.0
"""How often a worker ships its record; a killed worker loses no more than this."""
LEAVE_S = 2.0
"""How long a worker that quits waits for the master to say that it has the rest of the record."""


logger = logging.getLogger(__name__)

_checks: list[Callable[[RunSettings, Sequence[type[Any]]], None]] = []
_readers: list[Callable[[], Iterator[FinalRead]]] = []
_probers: list[Callable[[ProbeOrder], None]] = []
_isolators: list[Callable[[IsolationOrder], None]] = []
_droppers: list[Callable[[], int]] = []


def on_begin(
    check: Callable[[RunSettings, Sequence[type[Any]]], None],
) -> Callable[[RunSettings, Sequence[type[Any]]], None]:
    """Register what checks, in each worker and before any load, whether a run can be made here: it gets the
    run's settings and the classes of users, and raises HarnessError.
    """
    _checks.append(check)
    return check


def on_final_read(reader: Callable[[], Iterator[FinalRead]]) -> Callable[[], Iterator[FinalRead]]:
    """Register what reads back, in each worker, the records of the accounts that worker used."""
    _readers.append(reader)
    return reader


def on_probe(prober: Callable[[ProbeOrder], None]) -> Callable[[ProbeOrder], None]:
    """Register what tries, in each worker, the tokens and logins of the accounts that worker used."""
    _probers.append(prober)
    return prober


def on_isolate(isolator: Callable[[IsolationOrder], None]) -> Callable[[IsolationOrder], None]:
    """Register what sets this worker's accounts on each other's records, and tries what is no token."""
    _isolators.append(isolator)
    return isolator


def on_drop(dropper: Callable[[], int]) -> Callable[[], int]:
    """Register what drops, in each worker, its WebSockets' connections; it returns how many there were."""
    _droppers.append(dropper)
    return dropper


def install(environment: Environment) -> LoadControl | None:
    """Hang the load on `environment`; returns the control of it, None in a worker."""
    runner = environment.runner
    if isinstance(runner, (LocalRunner, WorkerRunner)):
        LoadWorker(environment, runner).install()
        watch_plain_clients()
    if isinstance(runner, (LocalRunner, MasterRunner)):
        return LoadControl(environment, runner)
    return None


def end_children_with_us() -> None:
    """Have every worker that Locust forks from this process end when this process is gone, however it ends.

    Locust's own clean-up forgets children that still run (locust/main.py, `kill_workers`); they would wait a
    minute for the master's heartbeat, or look for a master that never was for five.
    """
    os.register_at_fork(after_in_child=partial(gevent.spawn, _leave_with, os.getpid()))


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        gevent.sleep(PARENT_WATCH_S)
    os.kill(os.getpid(), signal.SIGTERM)


class LoadWorker:
    """The half that runs where the users are."""

    def __init__(self, environment: Environment, runner: LocalRunner | WorkerRunner) -> None:
        self._environment = environment
        self._runner = runner
        self._local = isinstance(runner, LocalRunner)
        self._health = Health()
        self._shipping: gevent.Greenlet | None = None
        self._run = ""
        self._delivered = True
        self._outbox = Outbox()
        self._obeyed: set[str] = set()

    @property
    def id(self) -> str:
        """What the master calls this worker."""
        return LOCAL if self._local else str(self._runner.client_id)

    def install(self) -> None:
        """Listen to the master and to Locust's events. Users do nothing until a run begins."""
        valve.install(self._runner)
        valve.close()
        if not self._local and getattr(self._environment.parsed_options, "processes", None):
            gevent.signal_handler(signal.SIGINT, self._on_interrupt)
        events: Any = self._environment.events
        events.request.add_listener(recorder.on_request)
        if not self._local:  # in one process, the control decides when the record is whole
            events.test_stopping.add_listener(self._on_stop)
            events.quitting.add_listener(self._on_quitting)
        for kind, handler in (
            (Message.BEGIN, self._on_begin),
            (Message.ACK, self._on_ack),
            (Message.PING, self._on_ping),
            (Message.RATE, self._on_rate),
            (Message.DRAIN, self._on_drain),
            (Message.PROBE, self._on_probe),
            (Message.ISOLATE, self._on_isolate),
            (Message.DROP, self._on_drop),
            (Message.READ_BACK, self._on_read_back),
            (Message.FINISH, self._on_finish),
        ):
            self._runner.register_message(kind, handler)

    # what the master says; these run in Locust's receiving loop, so whatever takes time is spawned

    def _on_begin(self, msg: Any, **_: object) -> None:
        zero = monotonic()
        self._run, self._delivered = msg.data["run"], False
        self._outbox, self._obeyed = Outbox(), set()
        joined = {"pid": os.getpid(), "zero": zero}
        try:
            Code.of(self._environment.user_classes).check(msg.data["code"])
            settings = RunSettings.from_message(msg.data["settings"])
            for check in _checks:
                check(settings, self._environment.user_classes)
        except HarnessError as error:
            self._delivered = True
            self._tell(Message.JOINED, {**joined, "refused": str(error)})
            return
        recorder.begin(self.id, settings, zero)
        self._health.start()
        arrivals.begin(settings, zero)
        valve.open()
        if self._shipping is not None:
            self._shipping.kill(block=False)
        self._shipping = gevent.spawn(self._ship_always)
        self._tell(Message.JOINED, joined)

    def _on_ack(self, msg: Any, **_: object) -> None:
        if msg.data["run"] == self._run:
            self._outbox.acknowledged(msg.data["expected"])

    def _on_ping(self, msg: Any, **_: object) -> None:
        self._send(Message.PONG, {"sent": msg.data["sent"], "clock": monotonic()})

    def _on_rate(self, msg: Any, **_: object) -> None:
        arrivals.change(msg.data["at"], msg.data["rate"], msg.data["over_s"])

    def _on_drain(self, msg: Any, **_: object) -> None:
        if self._is_news(Message.DRAIN):
            self._close()
            gevent.spawn(self._drain, float(msg.data["within_s"]))

    def _on_probe(self, msg: Any, **_: object) -> None:
        gevent.spawn(self._probe, ProbeOrder.from_message(msg.data))

    def _on_isolate(self, msg: Any, **_: object) -> None:
        gevent.spawn(self._isolate, IsolationOrder.from_message(msg.data))

    def _on_drop(self, **_: object) -> None:
        connections = sum(drop() for drop in _droppers)
        self._tell(Message.DROPPED, {"connections": connections})

    def _on_read_back(self, msg: Any, **_: object) -> None:
        if self._is_news(Message.READ_BACK):
            gevent.spawn(self._read_back, float(msg.data["within_s"]))

    def _on_finish(self, **_: object) -> None:
        gevent.spawn(self._finish)

    def _on_stop(self, **_: object) -> None:
        """Locust stops or quits before the master asked for the end: deliver what there is."""
        self._close()
        self._finish()

    @staticmethod
    def _close() -> None:
        """Let no new work begin; nothing more is due."""
        valve.close()
        arrivals.close(monotonic())

    def _on_quitting(self, **_: object) -> None:
        self._on_stop()
        wait_until(lambda: self._outbox.empty, LEAVE_S, gevent.sleep)

    def _on_interrupt(self) -> None:
        """A terminal's Ctrl-C reaches a forked worker too: during a run, its end is the master's to order."""
        if self._delivered:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)

    def _is_news(self, order: str) -> bool:
        """Whether the master gives this order for the first time in this run; it repeats what is not
        answered.
        """
        known = order in self._obeyed
        self._obeyed.add(order)
        return not known

    # what takes time

    def _ship_always(self) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            if not self._delivered:
                self._ship()
            for letter in self._outbox.due(monotonic()):
                self._send(letter.kind, {"number": letter.number, **letter.data})

    def _drain(self, within_s: float) -> None:
        wait_until(lambda: not recorder.in_flight and not valve.busy_users(), within_s, gevent.sleep)
        left = recorder.abandon(monotonic())
        self._ship()
        self._tell(Message.DRAINED, {"left": left})

    def _probe(self, order: ProbeOrder) -> None:
        for prober in _probers:
            prober(order)
        self._ship()
        self._tell(Message.PROBED, {})

    def _isolate(self, order: IsolationOrder) -> None:
        for isolator in _isolators:
            isolator(order)
        self._ship()
        self._tell(Message.ISOLATED, {})

    def _read_back(self, within_s: float) -> None:
        with gevent.Timeout(within_s, False):
            for reader in _readers:
                for read in reader():
                    recorder.final_read(read)
        self._ship()
        self._tell(Message.READ, {})

    def _finish(self) -> None:
        if self._delivered:
            return
        self._delivered = True
        recorder.abandon(monotonic())
        self._ship()
        arrivals.end()
        self._health.stop()
        counts = {
            "started": recorder.started,
            "finished": recorder.finished,
            "unfinished": recorder.unfinished,
        }
        uses = [[*use, count] for use, count in recorder.uses.items()]
        self._tell(Message.FINAL, {**recorder.blocks, **counts, "uses": uses})
        recorder.end()

    def _ship(self) -> None:
        """Send what was recorded since the last time."""
        now = monotonic()
        health = self._health.take(self.id, self._runner.user_count, recorder.in_flight)
        line = {**health, "logins": recorder.take_logins(), **arrivals.counts()}
        recorder.line("health.ndjson", line, now)
        batch = recorder.take(now)
        self._tell(
            Message.RECORDS,
            {
                "blocks": [[stream, block.encode()] for stream, block in batch.blocks],
                "lines": [[file, line] for file, line in batch.lines],
                "seconds": batch.seconds,
                "sent": batch.sent,
                "ended": len(batch.latencies),
                "latencies": points_of(batch.latencies),
                "errors": batch.errors,
            },
        )

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        """Send what must arrive, whole and in order."""
        letter = self._outbox.write(kind, data, monotonic())
        self._send(kind, {"number": letter.number, **data})

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        try:
            self._runner.send_message(kind, {"run": self._run, **data})
        except RPCError as error:
            logger.warning("The master could not be told %s: %s", kind, error)
