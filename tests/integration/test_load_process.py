"""Real Locust processes under the load's control: alone, forked, as master and worker, and interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil
import pytest

from harness.clock import wait_until
from harness.core.events import Event, Kind
from harness.core.record import Record
from harness.core.samples import Outcome
from harness.core.workers import lost_workers
from harness.stored_record import read_record
from tests.fix_run import without_test_settings

pytestmark = pytest.mark.integration

LOCUSTFILE = '''
from locust import HttpUser, User, constant_pacing, events, task

import gevent
import os
import signal
from pathlib import Path

from harness.clock import monotonic, utc_now
from harness.core.events import Event, Kind
from harness.core.plan import Plan
from harness.core.record import FinalRead, Found
from harness.core.samples import Outcome
from harness.errors import SetupError
from harness.load import hooks
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.store import RunDirectory


class Plain(HttpUser):
    """Knows nothing of the harness."""

    wait_time = constant_pacing(0.05)

    @task
    def get(self):
        self.client.get("/quick", name="/quick")


class Stuck(HttpUser):
    """Knows nothing of the harness, and gets no answer."""

    weight = fixed_count = {slow}

    @task
    def get(self):
        self.client.get("/stuck", name="/stuck")


class Slow(User):
    """Says what it has in flight, and never gets its answer in time."""

    weight = fixed_count = {slow}

    @task
    def ask(self):
        now = monotonic()
        token = recorder.sent("GET /own", now, now)
        gevent.sleep(60)
        recorder.answered(token, monotonic(), Outcome.OK)


hooks.end_children_with_us()


@hooks.on_final_read
def read_back():
    recorder.read_checked()
    yield FinalRead("account 1", monotonic(), (Found("k", 1, "canary", 1),))


@hooks.on_probe
def probe(order):
    recorder.probe("account 1", "old_token", "worked", f"{{order.accounts}} at {{order.per_second:g}}/s")


class Run:
    """A tiny controller: begins with the first user, lasts {lasts} seconds, then ends the process."""

    def __init__(self, environment, control):
        self.runner, self.control, self.directory = environment.runner, control, None
        environment.events.test_start.add_listener(self.start)
        environment.events.test_stopping.add_listener(self.end)
        environment.events.quitting.add_listener(self.end)

    def start(self, **_):
        plan = Plan(run_root="runs")
        self.directory = RunDirectory.create(plan, utc_now())
        self.zero = monotonic()
        self.directory.append_event(Event(0.0, Kind.RUN_START, {{}}))
        settings = RunSettings(self.directory.run_id, "canary", 1, 4, None, 0, 1, 10)
        self.going = gevent.spawn(self.go, settings)

    def go(self, settings):
        try:
            self.control.begin(self.directory, settings, self.zero)
        except SetupError as error:
            print("REFUSED", error, flush=True)
            self.directory = None
            self.runner.quit()
            return
        gevent.sleep({lasts})
        live = self.control.live()
        numbers = live.rate > 0, live.p95_s is not None, live.requests > 0, self.control.users()
        print("LIVE", *numbers, flush=True)
        over = self.control.probe(2.0, 1.0, 3.0)
        while not over():
            gevent.sleep(0.02)
        self.end()
        self.runner.quit()

    def interrupted(self):
        """As the harness takes it: the run ends in order, and what has no run ends as Locust ends it."""
        if self.directory is None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)
            return
        self.end()
        self.runner.quit()

    def end(self, **_):
        directory, self.directory = self.directory, None
        if directory is None:
            return
        if self.going is not gevent.getcurrent():
            self.going.kill()
        drained = self.control.drain({drain})
        self.control.read_back(3)
        missing = self.control.finish(3)
        print("END drained", drained, "missing", len(missing), flush=True)
        directory.append_event(Event(monotonic() - self.zero, Kind.RUN_END, {{"complete": True}}))
        directory.close()


@events.init.add_listener
def on_init(environment, **_):
    control = hooks.install(environment)
    if control is not None:
        environment.run = Run(environment, control)
        gevent.signal_handler(signal.SIGINT, environment.run.interrupted)


@events.quitting.add_listener
def on_quitting(environment, **_):
    environment.process_exit_code = 0
'''


class _App(BaseHTTPRequestHandler):
    """Answers everything, and counts."""

    protocol_version = "HTTP/1.1"
    hits = 0
    released = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/stuck":
            _App.released.wait()
        else:
            _App.hits += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    """The address of a small service."""
    _App.hits = 0
    _App.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _App)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    _App.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Load:
    """Starts Locust processes in a folder of their own and reads the run they leave."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.host = host
        self.processes: list[subprocess.Popen[str]] = []

    def write(self, lasts: float = 3, slow: int = 0, drain: float = 2) -> None:
        text = LOCUSTFILE.format(lasts=lasts, slow=slow, drain=drain)
        (self.folder / "locustfile.py").write_text(textwrap.dedent(text))

    def start(self, *arguments: str, headless: bool = True) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "locust", "-f", "locustfile.py", "-H", self.host),
                *("-u", "4", "-r", "4", "--only-summary"),
                *(("--headless",) if headless else ()),
                *arguments,
            ],
            cwd=self.folder,
            env=without_test_settings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def start_two_workers(self) -> tuple[subprocess.Popen[str], list[subprocess.Popen[str]]]:
        """A master and two workers, which are at work."""
        port = free_port()
        master = self.start("--master", "--expect-workers", "2", "--master-bind-port", port)
        workers = [self.start("--worker", "--master-port", port) for _ in range(2)]
        self.wait_for(lambda record: len(record.samples) > 50)
        return master, workers

    def record(self) -> Record:
        return read_record(self.folder / "runs" / "latest")

    def wait_for(self, condition: Callable[[Record], bool], within: float = 20) -> None:
        plan = self.folder / "runs" / "latest" / "plan.json"
        assert wait_until(lambda: plan.is_file() and condition(self.record()), within, every=0.1)

    def close(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what a process left behind
            process.communicate()


@pytest.fixture
def load(tmp_path: Path, host: str) -> Iterator[Load]:
    """A way to start Locust; whatever still runs is killed at the end."""
    load = Load(tmp_path, host)
    yield load
    load.close()


def of_kind(record: Record, kind: str) -> list[Event]:
    return [event for event in record.events if event.kind == kind]


def output_of(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=40)
    return output


def forked(workers: int = 2) -> tuple[str, ...]:
    """The arguments of a master with workers of its own."""
    port = free_port()
    return ("--processes", str(workers), "--master-port", port, "--master-bind-port", port)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def assert_whole(record: Record, workers: int) -> None:
    """Every request the service answered is in the record, and every worker said its numbers."""
    finals = of_kind(record, Kind.WORKER_FINAL)
    assert record.missing == ()
    assert len(of_kind(record, Kind.WORKER_JOINED)) == len(finals) == workers
    started, finished, unfinished = (
        sum(f.data[key] for f in finals) for key in ("started", "finished", "unfinished")
    )
    assert started == finished + unfinished == len(record.samples)
    assert finished == _App.hits > 20
    assert len(record.final_reads) == record.reads_checked == workers
    assert {point.worker for point in record.health} == {final.data["worker"] for final in finals}


def test_one_process(load: Load) -> None:
    load.write(slow=1, drain=0.5)
    process = load.start()
    output = output_of(process)
    record = load.record()
    assert process.returncode == 0, output
    assert "LIVE True True True 4" in output
    assert "END drained False missing 0" in output
    assert_whole(record, 1)
    slow = record.samples.where(record.samples.outcome == Outcome.UNFINISHED)
    assert {slow.endpoints[number] for number in slow.endpoint} == {"GET /own", "GET /stuck"}
    assert len(slow) == 2
    assert 3 < min(slow.latency) < max(slow.latency) < 6
    assert of_kind(record, Kind.WORKER_JOINED)[0].data["offset_s"] == 0
    assert {final.worker for final in record.final_reads} == {"local"}


def test_master_and_worker(load: Load) -> None:
    load.write()
    port = free_port()
    master = load.start("--master", "--master-bind-port", port)
    worker = load.start("--worker", "--master-port", port)
    output = output_of(master)
    assert "END drained True missing 0" in output, output
    assert_whole(load.record(), 1)
    assert [probe.detail for probe in load.record().probes] == ["10 at 5/s"]
    output_of(worker)
    assert (master.returncode, worker.returncode) == (0, 0)


@pytest.mark.parametrize("workers", [0, 2], ids=["local", "forked"])
def test_interrupt_of_the_controlling_process_ends_in_order(load: Load, workers: int) -> None:
    load.write(lasts=60)
    process = load.start(*(forked() if workers else ()))
    load.wait_for(lambda record: len(record.samples) > 50)
    process.send_signal(signal.SIGINT)
    output = output_of(process)
    assert "END drained True missing 0" in output, output
    assert_whole(load.record(), workers or 1)


def test_interrupt_of_all_processes_ends_in_order(load: Load) -> None:
    """A terminal's Ctrl-C reaches forked workers too; they leave the end of the run to their master."""
    load.write(lasts=60)
    process = load.start(*forked())
    load.wait_for(lambda record: len(record.samples) > 50)
    os.killpg(process.pid, signal.SIGINT)
    output = output_of(process)
    assert "END drained True missing 0" in output, output
    assert_whole(load.record(), 2)


def test_forked_workers_do_not_outlive_their_master(load: Load) -> None:
    load.write(lasts=60)
    process = load.start(*forked())
    load.wait_for(lambda record: len(record.samples) > 50)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    process.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_a_paused_worker_is_missed_comes_back_and_delivers_all(load: Load) -> None:
    load.write(lasts=60)
    master, workers = load.start_two_workers()
    workers[0].send_signal(signal.SIGSTOP)
    load.wait_for(lambda record: bool(of_kind(record, Kind.WORKER_LOST)))
    workers[0].send_signal(signal.SIGCONT)
    load.wait_for(lambda record: bool(of_kind(record, Kind.WORKER_BACK)))
    master.send_signal(signal.SIGINT)
    output = output_of(master)
    record = load.record()
    assert "END drained True missing 0" in output, output
    assert_whole(record, 2)
    assert lost_workers(record.events) == frozenset()


def test_a_worker_with_another_locustfile_is_refused(load: Load) -> None:
    load.write()
    text = (load.folder / "locustfile.py").read_text()
    (load.folder / "other.py").write_text(text.replace("/quick", "/stuck"))
    port = free_port()
    master = load.start("--master", "--master-bind-port", port)
    worker = load.start("-f", "other.py", "--worker", "--master-port", port)
    output = output_of(master)
    assert "its locustfile has another Plain. Start every process with the same locustfile" in output
    output_of(worker)
    assert _App.hits == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("workers", [0, 4], ids=["one process", "four workers"])
def test_stopped_at_any_moment_every_request_is_accounted_for(load: Load, workers: int, seed: int) -> None:
    """Started = finished + counted in flight, whether all processes are told to stop or the first alone."""
    random = Random(seed)
    load.write(lasts=60, slow=random.randrange(2), drain=random.choice([0.2, 1.0]))
    process = load.start(*(forked(workers) if workers else ()))
    load.wait_for(lambda record: len(of_kind(record, Kind.WORKER_JOINED)) == max(workers, 1), within=60)
    time.sleep(random.uniform(0.0, 3.0))
    stop = random.choice([os.killpg, os.kill])
    stop(process.pid, signal.SIGINT)
    output = output_of(process)
    record = load.record()
    finals = of_kind(record, Kind.WORKER_FINAL)
    started, finished, unfinished = (
        sum(final.data[key] for final in finals) for key in ("started", "finished", "unfinished")
    )
    assert record.missing == (), output
    assert len(finals) == max(workers, 1)
    assert started == finished + unfinished == len(record.samples)
    assert int((record.samples.outcome == Outcome.UNFINISHED).sum()) == unfinished
    assert finished <= _App.hits <= started


def test_a_killed_worker_is_named(load: Load) -> None:
    load.write(lasts=8)
    master, workers = load.start_two_workers()
    workers[0].kill()
    output = output_of(master)
    record = load.record()
    lost = [event.data["worker"] for event in of_kind(record, Kind.WORKER_LOST)]
    finals = [event.data["worker"] for event in of_kind(record, Kind.WORKER_FINAL)]
    assert "missing 1" in output
    assert len(lost) == len(finals) == 1
    assert lost != finals


@pytest.mark.parametrize("workers", [0, 2], ids=["local", "forked"])
def test_two_runs_from_the_web_page(load: Load, workers: int) -> None:
    load.write(lasts=60)
    port = free_port()
    page = f"http://127.0.0.1:{port}"
    process = load.start(
        "--web-host", "127.0.0.1", "--web-port", port, *(forked() if workers else ()), headless=False
    )
    for number in (1, 2):
        _App.hits = 0
        assert wait_until(lambda: workers == worker_count(page), 20, every=0.1)
        command(page, "/swarm", user_count=4, spawn_rate=4, host=load.host)
        assert wait_until(lambda: len(list(load.folder.glob("runs/2*"))) == number, 10, every=0.1)  # noqa: B023
        load.wait_for(lambda record: _App.hits > 50 and len(record.samples) > 50)
        command(page, "/stop")
        assert_whole(load.record(), workers or 1)
    process.send_signal(signal.SIGINT)
    assert output_of(process).count("END drained True missing 0") == 2


def command(page: str, path: str, **form: object) -> None:
    with urlopen(page + path, urlencode(form).encode(), timeout=30) as answer:
        assert json.load(answer)["success"]


def worker_count(page: str) -> int | None:
    """How many workers are connected; None while there is no page yet."""
    try:
        with urlopen(page + "/worker-count", timeout=5) as answer:
            return int(json.load(answer)["worker_count"])
    except URLError:
        return None
