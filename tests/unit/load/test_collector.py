"""The master's half, against workers that are played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from locust.event import Events
from locust.runners import STATE_MISSING, STATE_RUNNING

from harness.clock import monotonic, utc_now
from harness.core.blocks import Block
from harness.core.events import Kind
from harness.core.plan import Plan
from harness.core.record import FinalRead, Found, Record
from harness.core.samples import draft_sample, pack_samples
from harness.errors import SetupError
from harness.load import collector
from harness.load.collector import LoadControl
from harness.load.messages import IsolationOrder, Message, ProbeOrder, RunSettings, final_read_line
from harness.store import RunDirectory
from harness.stored_record import read_record

SETTINGS = RunSettings("run", "canary", 1, 10, 80.0, 0, 1, 100)


class PlayedWorker:
    """Answers the master at once, except what is in `silent`; its clock is `clock_s` ahead."""

    def __init__(
        self, name: str, clock_s: float = 0.0, silent: tuple[str, ...] = (), refused: str = ""
    ) -> None:
        self.id = name
        self.state = STATE_RUNNING
        self.clock_s = clock_s
        self.silent = silent
        self.refused = refused
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.letters = 0
        self.acknowledged = 0

    def answers(self, kind: str, data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        if kind == Message.ACK:
            self.acknowledged = data["expected"]
            return []
        self.heard.append((kind, data))
        clock = monotonic() + self.clock_s
        answers: dict[str, list[tuple[str, dict[str, Any]]]] = {
            Message.BEGIN: [(Message.JOINED, {"pid": 7, "zero": clock, "refused": self.refused})],
            Message.PING: [(Message.PONG, {"sent": data.get("sent"), "clock": clock})],
            Message.PROBE: [(Message.PROBED, {})],
            Message.ISOLATE: [(Message.ISOLATED, {})],
            Message.DROP: [(Message.DROPPED, {"connections": 3})],
            Message.DRAIN: [(Message.DRAINED, {"left": 0})],
            Message.READ_BACK: [(Message.RECORDS, self.records()), (Message.READ, {})],
            Message.FINISH: [(Message.FINAL, {"samples": 1, "operations": 0, "started": 1, "finished": 1})],
        }
        return [] if kind in self.silent else answers[kind]

    def number(self) -> int:
        self.letters += 1
        return self.letters - 1

    def records(self) -> dict[str, Any]:
        """A block of one sample of 100 ms, a health line, and a final read, all one second after its zero."""
        payload = pack_samples(draft_sample(1.0, 0.1, 0.1, 0, 0, 0))
        block = Block(self.id, 0, 1, payload, {"endpoints": {"0": "GET /"}})
        read = final_read_line(FinalRead("a", 1.0, (Found("k", 1, "canary", 1),), worker=self.id))
        health = {"worker": self.id, "users": 1, "in_flight": 0, "cpu_ratio": 0.1, "memory_mb": 50.0}
        return {
            "blocks": [["samples", block.encode()]],
            "lines": [
                ["health.ndjson", {"at": 1.0, **health, "late_ms": [0.1]}],
                ["final_read.ndjson.gz", read],
            ],
            "seconds": 1.0,
            "sent": 1,
            "ended": 1,
            "latencies": [0.1],
            "errors": 0,
        }


class Clients(dict[str, PlayedWorker]):
    """Locust's table of workers."""

    ready: tuple[PlayedWorker, ...] = ()
    spawning: tuple[PlayedWorker, ...] = ()

    @property
    def running(self) -> list[PlayedWorker]:
        return [worker for worker in self.values() if worker.state == STATE_RUNNING]


class PlayedMaster:
    """As much of a MasterRunner as the control uses."""

    def __init__(self, *workers: PlayedWorker) -> None:
        self.clients = Clients({worker.id: worker for worker in workers})
        self.handlers: dict[str, Callable[..., None]] = {}
        self.user_count = 10

    def get_worker_index(self, name: str) -> int:
        return list(self.clients).index(name)

    def register_message(self, kind: str, handler: Callable[..., None]) -> None:
        self.handlers[kind] = handler

    def send_message(self, kind: str, data: dict[str, Any], name: str) -> None:
        for answer, content in self.clients[name].answers(kind, data):
            self.hear(name, answer, {"run": data["run"], **content})

    def hear(self, name: str, kind: str, data: dict[str, Any], number: int | None = None) -> None:
        if name in self.clients and kind != Message.PONG:
            data["number"] = self.clients[name].number() if number is None else number
        self.handlers[kind](environment=None, msg=SimpleNamespace(node_id=name, data=data))


class Stage:
    """A control, its played workers and the run directory they write."""

    def __init__(self, folder: Path, *workers: PlayedWorker) -> None:
        self.master = PlayedMaster(*workers)
        self.locust = Events()
        environment: Any = SimpleNamespace(events=self.locust, user_classes=[])
        runner: Any = self.master
        self.control = LoadControl(environment, runner)
        self.directory = RunDirectory.create(Plan(run_root=str(folder)), utc_now())

    def begin(self) -> None:
        self.control.begin(self.directory, SETTINGS, monotonic())

    def run(self) -> tuple[str, ...]:
        self.begin()
        self.control.drain(0.05)
        self.control.read_back(0.05)
        return self.control.finish(0.05)

    def record(self) -> Record:
        self.directory.close()
        return read_record(self.directory.path)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [dict(event.data) for event in self.record().events if event.kind == kind]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """A stage on which nobody waits long for an answer that does not come."""
    for name in ("_JOIN_S", "_PING_S", "_GRACE_S"):
        monkeypatch.setattr(collector, name, 0.02)
    return lambda *workers: Stage(tmp_path, *workers)


def test_a_run_of_two_workers(stage: Callable[..., Stage]) -> None:
    first, second = PlayedWorker("a"), PlayedWorker("b", clock_s=500.0)
    played = stage(first, second)
    assert played.run() == ()
    record = played.record()
    told = [worker.heard[0][1]["settings"] for worker in (first, second)]
    assert [RunSettings.from_message(settings) for settings in told] == [
        replace(SETTINGS, worker_index=0, worker_count=2),
        replace(SETTINGS, worker_index=1, worker_count=2),
    ]
    assert len(record.samples) == 2
    assert record.samples.at == pytest.approx([1.0, 1.0], abs=0.1)
    assert [point.at for point in record.health] == pytest.approx([1.0, 1.0], abs=0.1)
    assert {read.worker for read in record.final_reads} == {"a", "b"}
    assert {read.at < 2 for read in record.final_reads} == {True}
    assert [event["worker"] for event in played.events(Kind.WORKER_FINAL)] == ["a", "b"]


def test_clocks(stage: Callable[..., Stage]) -> None:
    played = stage(PlayedWorker("same"), PlayedWorker("ahead", clock_s=500.0))
    played.begin()
    joined = {event["worker"]: event for event in played.events(Kind.WORKER_JOINED)}
    assert joined["same"]["offset_s"] == 0.0
    assert joined["ahead"]["offset_s"] == pytest.approx(-500.0, abs=0.1)
    assert joined["ahead"]["base_at"] == pytest.approx(0.0, abs=0.1)
    assert joined["ahead"]["pid"] == 7


def test_a_worker_that_cannot_take_part_is_named_with_its_reason(stage: Callable[..., Stage]) -> None:
    unable = PlayedWorker("b", refused="accounts.csv cannot be read.")
    with pytest.raises(SetupError, match=r"Worker b cannot take part: accounts\.csv cannot be read\."):
        stage(PlayedWorker("a"), unable).begin()


def test_a_worker_that_says_nothing_is_named(stage: Callable[..., Stage]) -> None:
    played = stage(PlayedWorker("a"), PlayedWorker("deaf", silent=(Message.BEGIN,)))
    with pytest.raises(SetupError, match=r"Worker deaf did not answer within .* the same release"):
        played.begin()


def test_a_worker_that_does_not_deliver_is_named_and_if_gone_lost(stage: Callable[..., Stage]) -> None:
    slow, dead = (
        PlayedWorker("slow", silent=(Message.FINISH,)),
        PlayedWorker("dead", silent=(Message.FINISH,)),
    )
    played = stage(slow, dead)
    played.begin()
    dead.state = STATE_MISSING
    assert played.control.finish(0.02) == ("slow", "dead")
    assert played.events(Kind.WORKER_LOST) == [{"worker": "dead"}]


def test_probes_are_split_over_the_workers_by_their_own_clocks(stage: Callable[..., Stage]) -> None:
    same, ahead = PlayedWorker("a"), PlayedWorker("b", clock_s=500.0, silent=(Message.PROBE,))
    played = stage(same, ahead)
    played.begin()
    over = played.control.probe(seconds=4.0, before_at=20.0, within_s=14.0)
    orders = [ProbeOrder.from_message(worker.heard[-1][1]) for worker in (same, ahead)]
    assert [(order.accounts, order.per_second, order.within_s) for order in orders] == [(10, 2.5, 14.0)] * 2
    assert orders[1].before - orders[0].before == pytest.approx(500.0, abs=0.1)
    assert not over()
    played.master.hear("b", Message.PROBED, {"run": "run"})
    assert over()


def test_probes_of_a_lost_worker_are_not_waited_for(stage: Callable[..., Stage]) -> None:
    dead = PlayedWorker("b", silent=(Message.PROBE, Message.FINISH))
    played = stage(PlayedWorker("a"), dead)
    played.begin()
    over = played.control.probe(seconds=0.1, before_at=20.0, within_s=1.0)
    assert not over()
    dead.state = STATE_MISSING
    played.control.finish(0.02)
    assert over()
    assert played.events(Kind.WORKER_LOST) == [{"worker": "b"}]


def test_one_worker_probes_isolation_for_all(stage: Callable[..., Stage]) -> None:
    first, second = PlayedWorker("a", silent=(Message.ISOLATE,)), PlayedWorker("b")
    played = stage(first, second)
    played.begin()
    over = played.control.isolate(8.0, 20.0, own_accounts=False)
    kind, data = first.heard[-1]
    assert (kind, IsolationOrder.from_message(data)) == (Message.ISOLATE, IsolationOrder(8.0, 20.0, False))
    assert Message.ISOLATE not in [kind for kind, _ in second.heard]
    assert not over()
    played.master.hear("a", Message.ISOLATED, {"run": "run"})
    assert over()


def test_isolation_probes_of_a_lost_worker_are_not_waited_for(stage: Callable[..., Stage]) -> None:
    dead = PlayedWorker("a", silent=(Message.ISOLATE, Message.FINISH))
    played = stage(dead, PlayedWorker("b"))
    played.begin()
    over = played.control.isolate(8.0, 20.0, own_accounts=True)
    assert not over()
    dead.state = STATE_MISSING
    played.control.finish(0.02)
    assert over()
    assert played.events(Kind.WORKER_LOST) == [{"worker": "a"}]


def test_dropped_websockets_are_counted_once_every_worker_has_told(stage: Callable[..., Stage]) -> None:
    first, second = PlayedWorker("a"), PlayedWorker("b", silent=(Message.DROP,))
    played = stage(first, second)
    played.begin()
    dropped = played.control.drop_websockets()
    assert dropped() is None
    played.master.hear("b", Message.DROPPED, {"run": SETTINGS.run_id, "connections": 4})
    assert dropped() == 7


def test_a_lost_worker_drops_nothing_that_is_waited_for(stage: Callable[..., Stage]) -> None:
    dead = PlayedWorker("b", silent=(Message.DROP, Message.FINISH))
    played = stage(PlayedWorker("a"), dead)
    played.begin()
    dropped = played.control.drop_websockets()
    dead.state = STATE_MISSING
    played.control.finish(0.02)
    assert dropped() == 3
    assert played.events(Kind.WORKER_LOST) == [{"worker": "b"}]


def test_drain_says_whether_nothing_was_left(stage: Callable[..., Stage]) -> None:
    played = stage(PlayedWorker("a"), PlayedWorker("b", silent=(Message.DRAIN,)))
    played.begin()
    assert not played.control.drain(0.01)
    played.master.hear("b", Message.DRAINED, {"run": "run", "left": 1})
    assert not played.control.drain(0.01)
    played.master.hear("b", Message.DRAINED, {"run": "run", "left": 0})
    assert played.control.drain(0.01)


def test_live_numbers(stage: Callable[..., Stage]) -> None:
    first, second = PlayedWorker("a"), PlayedWorker("b")
    played = stage(first, second)
    played.begin()
    assert played.control.live().p95_s is None
    for worker, seconds, latency in ((first, 1.0, 0.1), (second, 0.5, 0.3)):
        numbers = {"seconds": seconds, "latencies": [latency], "errors": 1}
        played.master.hear(worker.id, Message.RECORDS, {"run": "run", **worker.records(), **numbers})
    live = played.control.live()
    assert (live.rate, live.errors, live.requests) == (3.0, 2, 2)
    assert live.p95_s == 0.3
    assert played.control.users() == 10


def test_what_the_master_adds_to_a_final_read(stage: Callable[..., Stage]) -> None:
    played = stage(PlayedWorker("a"))
    played.begin()
    played.control.read_back(0.05, lambda read: replace(read, stored=read.found))
    (read,) = played.record().final_reads
    assert read.stored == read.found == (Found("k", 1, "canary", 1),)


def test_messages_of_another_run_are_not_heard(stage: Callable[..., Stage]) -> None:
    worker = PlayedWorker("a")
    played = stage(worker)
    played.begin()
    played.master.hear("a", Message.RECORDS, {"run": "the run before", **worker.records()})
    played.master.hear("stranger", Message.RECORDS, {"run": "run", **worker.records()})
    played.control.finish(0.02)
    played.master.hear("a", Message.RECORDS, {"run": "run", **worker.records()})
    assert len(played.record().samples) == 0


def test_a_worker_that_comes_late_is_said(
    stage: Callable[..., Stage], caplog: pytest.LogCaptureFixture
) -> None:
    played = stage(PlayedWorker("a"))
    played.begin()
    played.locust.worker_connect.fire(client_id="a")
    assert not caplog.records
    played.locust.worker_connect.fire(client_id="late")
    assert "late came after the run had begun" in caplog.text
    assert played.events(Kind.WORKER_LATE) == [{"worker": "late"}]


def sample(worker: str, sequence: int) -> dict[str, Any]:
    """A shipment of one sample."""
    block = Block(worker, sequence, 1, pack_samples(draft_sample(1.0, 0.1, 0.1, 0, 0, 0)))
    told = {"seconds": 1.0, "sent": 1, "ended": 1, "latencies": [0.1], "errors": 0}
    return {"run": "run", "blocks": [["samples", block.encode()]], "lines": [], **told}


def test_what_comes_twice_or_out_of_order_is_written_once_and_acknowledged(
    stage: Callable[..., Stage],
) -> None:
    worker = PlayedWorker("a", silent=(Message.FINISH,))
    played = stage(worker)
    played.begin()
    for number, acknowledged in ((2, 1), (3, 1), (1, 4), (2, 4), (1, 4)):
        played.master.hear("a", Message.RECORDS, sample("a", number - 1), number)
        assert worker.acknowledged == acknowledged
    played.control.finish(0.02)
    assert len(played.record().samples) == 3


def test_a_worker_has_delivered_when_all_that_it_sent_is_there(stage: Callable[..., Stage]) -> None:
    worker = PlayedWorker("a", silent=(Message.FINISH,))
    played = stage(worker)
    played.begin()
    final = {"run": "run", "samples": 2, "operations": 0, "started": 2, "finished": 2}
    played.master.hear("a", Message.FINAL, dict(final), 3)
    played.master.hear("a", Message.RECORDS, sample("a", 1), 2)
    assert played.events(Kind.WORKER_FINAL) == []
    played.master.hear("a", Message.RECORDS, sample("a", 0), 1)
    assert played.control.finish(0.02) == ()
    (told,) = played.events(Kind.WORKER_FINAL)
    assert told == {"worker": "a", **{key: value for key, value in final.items() if key != "run"}}


def test_of_a_worker_that_does_not_deliver_is_kept_what_came(
    stage: Callable[..., Stage], caplog: pytest.LogCaptureFixture
) -> None:
    played = stage(PlayedWorker("a", silent=(Message.FINISH,)))
    played.begin()
    played.master.hear("a", Message.RECORDS, sample("a", 2), 3)
    assert played.control.finish(0.02) == ("a",)
    assert "Worker a did not deliver its record within 0.02 s" in caplog.text
    assert len(played.record().samples) == 1


def test_an_order_is_given_again_until_it_is_answered(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_AGAIN_S", 0.0)
    worker = PlayedWorker("a", silent=(Message.DRAIN,))
    played = stage(worker)
    played.begin()
    assert not played.control.drain(0.05)
    assert [kind for kind, _ in worker.heard].count(Message.DRAIN) > 1
    worker.silent = ()
    assert played.control.drain(0.05)


def test_a_worker_that_is_heard_of_again_is_lost_no_more(stage: Callable[..., Stage]) -> None:
    worker = PlayedWorker("a", silent=(Message.FINISH,))
    played = stage(worker)
    played.begin()
    worker.state = STATE_MISSING
    lost = []
    for state, heard in ((STATE_MISSING, False), (STATE_RUNNING, False), (STATE_RUNNING, True)):
        worker.state = state
        if heard:
            played.master.hear("a", Message.RECORDS, sample("a", 0))
        played.control._look_for_workers()
        lost.append(len(played.control.lost_workers))
    assert lost == [1, 1, 0]
    worker.silent = ()
    assert played.control.finish(0.05) == ()
    kinds = [event.kind for event in played.record().events]
    assert kinds[-3:] == [Kind.WORKER_LOST, Kind.WORKER_BACK, Kind.WORKER_FINAL]
