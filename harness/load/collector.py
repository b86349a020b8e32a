"""The master's half of the load: tells the workers what to do and writes down what they recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner

from harness.clock import monotonic, wait_until
from harness.core.events import Event, Kind
from harness.core.record import FinalRead
from harness.errors import SetupError
from harness.load.code import Code
from harness.load.live import LiveNumbers, live_numbers
from harness.load.messages import (
    LOCAL,
    IsolationOrder,
    Message,
    ProbeOrder,
    RunSettings,
    final_read_line,
    final_read_of,
)
from harness.load.workers import Data, Worker
from harness.store import RunDirectory

__all__ = ["LoadControl"]

_JOIN_S = 10.0  # how long a worker may take to say that it has begun
_PINGS = 10  # per worker; the one with the shortest round trip tells its clock's offset
_PING_S = 0.5  # how long one ping may take
_LEAD_S = 0.05  # how long before its instant a change of the rate is told
_GRACE_S = 2.0  # how much longer than told a worker may take to answer
_AGAIN_S = 2.0  # how long an order may go unanswered before it is given again
_PROBED_PER_S = 5.0  # accounts whose logins are tried at the end: a login makes a service hash a password
_LIVE_S = 2.5  # how old a worker's last numbers may be to be shown
_WATCH_S = 1.0  # how often lost workers are looked for

logger = logging.getLogger(__name__)


class LoadControl:
    """Handle on the whole load, in the master or the only process.

    The calls `begin`, `isolate`, `probe`, `drop_websockets`, `drain`, `read_back` and `finish`, in this
    order, make one run; the second to the fourth return at once, the others when they are done.
    """

    def __init__(self, environment: Environment, runner: LocalRunner | MasterRunner) -> None:
        events: Any = environment.events
        self._environment = environment
        self._runner = runner
        self._directory: RunDirectory | None = None
        self._run = ""
        self._zero = 0.0
        self._workers: dict[str, Worker] = {}
        self._reads: list[dict[str, Any]] = []
        self._watching: gevent.Greenlet | None = None
        for kind, handler in (
            (Message.JOINED, self._on_joined),
            (Message.RECORDS, self._on_records),
            (Message.PROBED, self._on_probed),
            (Message.ISOLATED, self._on_isolated),
            (Message.DROPPED, self._on_dropped),
            (Message.DRAINED, self._on_drained),
            (Message.READ, self._on_read),
            (Message.FINAL, self._on_final),
        ):
            runner.register_message(kind, self._in_order(handler))
        runner.register_message(Message.PONG, self._on_pong)
        events.worker_connect.add_listener(self._on_worker_connect)

    # what the controller of the run asks for

    def begin(self, directory: RunDirectory, settings: RunSettings, zero: float) -> None:
        """Begin a run on every worker that is connected, and open their valves.

        `zero` is the `clock.monotonic()` instant of run time 0. Each worker gets `settings` with an index of
        its own and the number of workers. Writes a WORKER_JOINED event for each. Raises SetupError when one
        says that it cannot take part, or nothing at all: its users would be load that nobody records.
        """
        self._stop_watching()
        self._directory, self._run, self._zero = directory, settings.run_id, zero
        self._reads = []
        ids = self._connected()
        self._workers = {name: Worker(name) for name in ids}
        code = Code.of(self._environment.user_classes).as_message()
        for index, name in enumerate(ids):
            own = replace(settings, worker_index=index, worker_count=len(ids))
            self._tell(Message.BEGIN, {"code": code, "settings": own.as_message()}, name)
        self._wait(lambda: all(w.joined for w in self._workers.values()), _JOIN_S)
        for worker in self._workers.values():
            self._check_joined(worker)
        self._measure_clocks()
        for worker in self._workers.values():
            self._event(
                Kind.WORKER_JOINED,
                worker=worker.id,
                base_at=round(self._base_at(worker), 6),
                offset_s=round(worker.offset_s, 6),
                pid=worker.pid,
            )
        self._watching = gevent.spawn(self._watch)

    @property
    def workers(self) -> int:
        """How many workers can take part in a run, at least 1."""
        return max(1, len(self._connected()))

    def users(self) -> int:
        """How many users are running, over all workers."""
        return int(self._runner.user_count)

    def live(self) -> LiveNumbers:
        """What the load did in about the last second."""
        since = monotonic() - _LIVE_S
        fresh = [worker.live for worker in self._workers.values() if worker.live_at >= since]
        return live_numbers(fresh, sum(worker.ended for worker in self._workers.values()))

    def pace(self, rate: float, over_s: float) -> None:
        """Have the target rate go to `rate` within `over_s` seconds, for all workers at one instant.

        Returns at once, before that instant, of which it writes a TARGET_RATE event.
        """
        at = monotonic() + _LEAD_S
        for worker in self._present():
            told = {"at": at - worker.offset_s, "rate": rate, "over_s": over_s}
            self._tell(Message.RATE, told, worker.id)
        self._event(Kind.TARGET_RATE, at, rate=rate, over_s=over_s)

    def probe(self, seconds: float, before_at: float, within_s: float) -> Callable[[], bool]:
        """Have the workers try the tokens and logins of accounts that were awake `before_at` (run time).

        At most five accounts a second are tried over all workers, for `seconds`. Returns at once; what it
        returns says whether every worker is done.
        """
        workers = self._present()
        for worker in workers:
            order = ProbeOrder(
                before=before_at + self._zero - worker.offset_s,
                accounts=max(1, int(seconds * _PROBED_PER_S / len(workers))),
                per_second=_PROBED_PER_S / len(workers),
                within_s=within_s,
            )
            self._tell(Message.PROBE, order.as_message(), worker.id)
        return lambda: all(worker.probed for worker in self._present(workers))

    def isolate(self, per_second: float, within_s: float, own_accounts: bool) -> Callable[[], bool]:
        """Have one worker set its accounts on each other's records, and try what is no token (see
        IsolationOrder).

        Returns at once; what it returns says whether that is over.
        """
        told = self._present()[:1]
        for worker in told:
            worker.isolating = True
            order = IsolationOrder(per_second, within_s, own_accounts)
            self._tell(Message.ISOLATE, order.as_message(), worker.id)
        return lambda: not any(worker.isolating for worker in self._present(told))

    def drop_websockets(self) -> Callable[[], int | None]:
        """Have the workers drop the connections of all WebSockets. Returns at once; what it returns says how
        many there were, None until every worker has told.
        """
        told = self._present()
        for worker in told:
            worker.dropped = None
            self._tell(Message.DROP, {}, worker.id)

        def dropped() -> int | None:
            counts = [worker.dropped for worker in told if not worker.lost]
            return None if None in counts else sum(count or 0 for count in counts)

        return dropped

    def drain(self, within_s: float) -> bool:
        """Close the valve everywhere and wait until nothing is in flight; returns whether it came to that.

        What still is in flight after `within_s` becomes `unfinished` samples with their age.
        """
        order = {"within_s": within_s}
        self._ask(Message.DRAIN, order, lambda worker: worker.drained is not None, within_s + _GRACE_S)
        return all(worker.drained == 0 for worker in self._workers.values())

    def read_back(
        self, within_s: float, complete: Callable[[FinalRead], FinalRead] = lambda read: read
    ) -> None:
        """Have every worker read back what its accounts are shown, and write that down.

        `complete` adds to each read what only the master can know, such as what the database holds; it is
        called here, in the caller's greenlet.
        """
        order, within = {"within_s": within_s}, within_s + _GRACE_S
        self._ask(
            Message.READ_BACK, order, lambda worker: worker.read, within, lambda: self._write_reads(complete)
        )

    def finish(self, within_s: float) -> tuple[str, ...]:
        """Collect the last of the record; returns the workers that did not deliver theirs.

        A worker has delivered when all that it sent is here. It then gets a WORKER_FINAL event; one that is
        gone gets a WORKER_LOST. Of the others is kept what came.
        """
        self._ask(Message.FINISH, {}, lambda worker: worker.final, within_s)
        self._stop_watching()
        self._look_for_workers()
        for worker in self._workers.values():
            if worker.final:
                continue
            if not worker.lost:
                logger.warning("Worker %s did not deliver its record within %g s.", worker.id, within_s)
            for handle, data in worker.inbox.rest():
                handle(worker, data)
        self._write_reads(lambda read: read)
        self._directory = None
        return tuple(worker.id for worker in self._workers.values() if not worker.final)

    @property
    def lost_workers(self) -> tuple[str, ...]:
        """The workers that this run lost so far."""
        return tuple(worker.id for worker in self._workers.values() if worker.lost)

    # what the workers say

    def _in_order(self, handle: Callable[[Worker, Data], None]) -> Callable[..., None]:
        """A listener that takes each letter once, in its worker's order, and acknowledges it."""

        def hear(msg: Any, **_: object) -> None:
            worker = self._of(msg)
            if worker is None:
                return
            worker.heard_at = monotonic()
            for handle_it, data in worker.inbox.take(msg.data["number"], (handle, msg.data)):
                handle_it(worker, data)
            self._tell(Message.ACK, {"expected": worker.inbox.expected}, worker.id)

        return hear

    def _on_pong(self, msg: Any, **_: object) -> None:
        worker = self._of(msg)
        if worker is not None:
            worker.measure(msg.data["sent"], monotonic(), msg.data["clock"])

    def _on_joined(self, worker: Worker, data: Data) -> None:
        worker.joined, worker.pid, worker.zero = True, data["pid"], data["zero"]
        worker.refused = data.get("refused", "")

    def _on_records(self, worker: Worker, data: Data) -> None:
        if self._directory is None:
            return
        for stream, block in data["blocks"]:
            self._directory.append_block(stream, block)
        for file, line in data["lines"]:
            line = {**line, "at": round(line["at"] + self._base_at(worker), 6)}
            if file == "final_read.ndjson.gz":
                self._reads.append(line)
            else:
                self._directory.append_line(file, line)
        worker.live_at, worker.live = monotonic(), data
        worker.ended += data["ended"]

    def _on_probed(self, worker: Worker, _data: Data) -> None:
        worker.probed = True

    def _on_isolated(self, worker: Worker, _data: Data) -> None:
        worker.isolating = False

    def _on_dropped(self, worker: Worker, data: Data) -> None:
        worker.dropped = int(data["connections"])

    def _on_drained(self, worker: Worker, data: Data) -> None:
        worker.drained = data["left"]

    def _on_read(self, worker: Worker, _data: Data) -> None:
        worker.read = True

    def _on_final(self, worker: Worker, data: Data) -> None:
        worker.final = True
        counts = {key: value for key, value in data.items() if key not in ("run", "number")}
        self._event(Kind.WORKER_FINAL, worker=worker.id, **counts)

    def _on_worker_connect(self, client_id: str, **_: object) -> None:
        """Note that a worker came too late: it is not told of the run, as its accounts would be others', but
        Locust gives it users, which do nothing. Writes a WORKER_LATE event."""
        if self._directory is not None and client_id not in self._workers:
            logger.warning("Worker %s came after the run had begun; its users do nothing in it.", client_id)
            self._event(Kind.WORKER_LATE, worker=client_id)

    # insides

    def _of(self, msg: Any) -> Worker | None:
        """The worker that sent `msg`, None when it is not of this run or the run is over."""
        if self._directory is None or msg.data["run"] != self._run:
            return None
        return self._workers.get(msg.node_id)

    def _connected(self) -> list[str]:
        """The ids of the workers that can take part, oldest first."""
        if isinstance(self._runner, LocalRunner):
            return [LOCAL]
        clients = self._runner.clients
        nodes = [*clients.ready, *clients.spawning, *clients.running]
        return sorted((node.id for node in nodes), key=self._runner.get_worker_index)

    def _check_joined(self, worker: Worker) -> None:
        if worker.refused:
            self._directory = None
            raise SetupError(f"Worker {worker.id} cannot take part: {worker.refused}")
        if not worker.joined:
            self._directory = None
            raise SetupError(
                f"Worker {worker.id} did not answer within {_JOIN_S:g} s.",
                "Start it with the master's locustfile, which imports harness.locust, and the same release of"
                " the harness.",
            )

    def _present(self, of: Sequence[Worker] | None = None) -> list[Worker]:
        """The workers whose answers can still come, of all or of those that were told something."""
        workers = self._workers.values() if of is None else of
        return [worker for worker in workers if not worker.lost and not worker.final]

    def _base_at(self, worker: Worker) -> float:
        """The worker's zero in run time."""
        return worker.zero + worker.offset_s - self._zero

    def _measure_clocks(self) -> None:
        for number in range(1, _PINGS + 1):
            for name in self._workers:
                self._tell(Message.PING, {"sent": monotonic()}, name)
            workers = self._workers.values()
            self._wait(lambda: all(w.pongs >= number for w in workers), _PING_S)  # noqa: B023 - called at once

    def _watch(self) -> None:
        while True:
            gevent.sleep(_WATCH_S)
            self._look_for_workers()

    def _look_for_workers(self) -> None:
        """Note which workers are gone since the last time, and which are back."""
        for worker in self._workers.values():
            gone = self._is_gone(worker)
            if gone and not worker.lost:
                self._lose(worker)
            elif worker.lost and not gone and worker.heard_at > worker.lost_at:
                self._regain(worker)

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.kill(block=False)
            self._watching = None

    def _is_gone(self, worker: Worker) -> bool:
        """Whether Locust has no connection to the worker any more, or no heartbeat of it."""
        if isinstance(self._runner, LocalRunner):
            return False
        node = self._runner.clients.get(worker.id)
        return node is None or node.state == STATE_MISSING

    def _lose(self, worker: Worker) -> None:
        worker.lost, worker.lost_at = True, monotonic()
        logger.warning("Worker %s is lost; what it had not sent is missing from the record.", worker.id)
        self._event(Kind.WORKER_LOST, worker=worker.id)

    def _regain(self, worker: Worker) -> None:
        worker.lost = False
        away_s = worker.heard_at - worker.lost_at
        logger.warning("Worker %s is back, %.1f s after it was missed.", worker.id, away_s)
        self._event(Kind.WORKER_BACK, worker=worker.id)

    def _write_reads(self, complete: Callable[[FinalRead], FinalRead]) -> None:
        while self._reads and self._directory is not None:
            read = complete(final_read_of(self._reads.pop(0)))
            self._directory.append_line("final_read.ndjson.gz", final_read_line(read))

    def _event(self, kind: str, at: float | None = None, **data: object) -> None:
        """Write an event, of this instant unless another is given."""
        if self._directory is not None:
            instant = monotonic() if at is None else at
            self._directory.append_event(Event(instant - self._zero, kind, data))

    def _tell(self, kind: str, data: dict[str, Any], worker: str) -> None:
        self._runner.send_message(kind, {"run": self._run, **data}, worker)

    def _ask(
        self,
        kind: str,
        data: dict[str, Any],
        answered: Callable[[Worker], bool],
        within_s: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Give every worker an order that is obeyed once, and wait until it is answered.

        It is given again where no answer comes, also to a lost worker, which may be back.
        """
        deadline, again_at = monotonic() + within_s, float("-inf")
        while True:
            if monotonic() >= again_at:
                again_at = monotonic() + _AGAIN_S
                for worker in self._workers.values():
                    if not worker.final and not answered(worker):
                        self._tell(kind, data, worker.id)
            over = all(answered(worker) for worker in self._present()) or monotonic() >= deadline
            meanwhile()
            if over:
                return
            gevent.sleep(0.005)

    @staticmethod
    def _wait(condition: Callable[[], bool], within_s: float) -> bool:
        return wait_until(condition, within_s, gevent.sleep, every=0.005)
