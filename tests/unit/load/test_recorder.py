"""What users do becomes packed records, once each, with short causes."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from harness.core.blocks import Block, BlockStream, read_blocks
from harness.core.operations import OperationKind, OperationOutcome, OperationTable
from harness.core.record import FinalRead, Found, Total
from harness.core.samples import SAMPLE, Outcome, SampleTable
from harness.core.traceparent import Tie, parse, worker_crc
from harness.load.messages import RunSettings, final_read_of
from harness.load.recorder import Batch, Recorder

ZERO = 1000.0
SETTINGS = RunSettings("run", "canary", 1, 1, None, 0, 1, 1)


@pytest.fixture
def recorder() -> Recorder:
    """A recorder in a run of worker `w`, whose zero is instant 1000."""
    recorder = Recorder()
    recorder.begin("w", SETTINGS, ZERO)
    return recorder


def blocks_of(batch: Batch, stream: str) -> list[Block]:
    return [block for name, block in batch.blocks if name == stream]


def samples_of(*batches: Batch) -> SampleTable:
    """The samples, having gone through encoding as on their way to the master."""
    encoded = b"".join(block.encode() for batch in batches for block in blocks_of(batch, "samples"))
    blocks, wrong = read_blocks(encoded)
    assert wrong is None
    return SampleTable.join({}, [BlockStream.join("w", blocks)])


def lines_of(batch: Batch, file: str) -> list[dict[str, Any]]:
    return [line for name, line in batch.lines if name == file]


def test_a_request_is_in_flight_until_it_is_answered(recorder: Recorder) -> None:
    token = recorder.sent("GET /documents", 1001.0, 1001.5)
    assert recorder.in_flight == 1
    recorder.answered(token, 1003.0, Outcome.ERROR, "HTTP 503")
    batch = recorder.take(1004.0)
    table = samples_of(batch)
    assert (recorder.in_flight, recorder.started, recorder.finished, recorder.unfinished) == (0, 1, 1, 0)
    assert (table.at[0], table.latency[0], table.service[0]) == pytest.approx((1.0, 2.0, 1.5))
    assert (table.endpoints, table.causes[table.cause[0]]) == (("GET /documents",), "HTTP 503")
    assert (batch.sent, batch.errors, batch.latencies, batch.seconds) == (1, 1, [2.0], 4.0)


def test_what_is_left_in_flight_is_unfinished_with_its_age(recorder: Recorder) -> None:
    token = recorder.sent("GET /documents", 1001.0, 1002.0)
    assert recorder.abandon(1006.0) == 1
    recorder.answered(token, 1007.0, Outcome.OK)
    table = samples_of(recorder.take(1008.0))
    assert (recorder.started, recorder.finished, recorder.unfinished) == (1, 0, 1)
    assert (table.outcome[0], table.latency[0], table.service[0]) == pytest.approx((2, 5.0, 4.0))
    assert len(table) == 1


def test_names_are_sent_once_and_blocks_are_numbered(recorder: Recorder) -> None:
    batches = []
    for _ in range(3):
        recorder.sample("push", 1001.0, 1001.0, 1002.0, Outcome.OK)
        batches.append(recorder.take(1003.0))
    assert [block.sequence for batch in batches for block in blocks_of(batch, "samples")] == [0, 1, 2]
    assert [bool(block.tables) for batch in batches for block in blocks_of(batch, "samples")] == [1, 0, 0]
    assert samples_of(*batches).endpoints == ("push",)
    assert recorder.blocks == {"samples": 3, "operations": 0}


def test_nothing_recorded_makes_no_block(recorder: Recorder) -> None:
    assert recorder.take(1001.0).blocks == []


def test_causes_beyond_what_a_record_holds_are_other(recorder: Recorder) -> None:
    for number in range(300):
        recorder.sample("x", 1001.0, 1001.0, 1002.0, Outcome.ERROR, f"cause {number}")
    table = samples_of(recorder.take(1002.0))
    causes = [table.causes[number] for number in table.cause]
    assert (causes[0], causes[253], causes[254], causes[299]) == ("cause 0", "cause 253", "other", "other")


def test_event_of_any_client(recorder: Recorder) -> None:
    recorder.begin("w", SETTINGS, time.monotonic() - 100)
    recorder.on_request("GET", "/a", 250.0, exception=None, start_time=time.time() - 10, context={})
    recorder.on_request("GET", "/a", 250.0, exception=TimeoutError("after 10 s"))
    table = samples_of(recorder.take(time.monotonic()))
    assert table.at == pytest.approx([90, 99.75], abs=2.0)
    assert table.latency == pytest.approx([0.25, 0.25])
    assert [table.causes[number] for number in table.cause] == ["", "TimeoutError"]
    assert table.endpoints == ("GET /a",)


def test_event_after_the_wall_clock_was_set_back(recorder: Recorder) -> None:
    recorder.begin("w", SETTINGS, time.monotonic() - 100)
    recorder.on_request("GET", "/a", 250.0, start_time=time.time() + 3600)
    assert samples_of(recorder.take(time.monotonic())).at == pytest.approx([99.75], abs=2.0)


def test_a_request_of_a_plain_session_is_counted_once(recorder: Recorder) -> None:
    recorder.begin("w", SETTINGS, time.monotonic() - 100)
    token = recorder.sent("GET /a", time.monotonic(), time.monotonic())
    recorder.on_request("GET", "/a", 1.0, url="http://127.0.0.1/a")
    recorder.forget(token)
    assert len(samples_of(recorder.take(time.monotonic()))) == recorder.started == recorder.finished == 1


def test_a_plain_session_that_answers_too_late_is_unfinished_only(recorder: Recorder) -> None:
    recorder.begin("w", SETTINGS, time.monotonic() - 100)
    token = recorder.sent("GET /a", time.monotonic() - 10, time.monotonic() - 10)
    recorder.abandon(time.monotonic() - 5)
    recorder.on_request("GET", "/a", 10_000.0, url="http://127.0.0.1/a")
    recorder.forget(token)
    assert list(samples_of(recorder.take(time.monotonic())).outcome) == [Outcome.UNFINISHED]
    assert (recorder.started, recorder.finished, recorder.unfinished) == (1, 0, 1)


def test_causes_without_end_share_the_last_number(recorder: Recorder) -> None:
    for number in range(400):
        recorder.sample("GET /", 1001.0, 1001.0, 1002.0, Outcome.ERROR, f"cause {number}")
    table = samples_of(recorder.take(1003.0))
    assert table.causes[table.cause[399]] == "other"
    assert len(set(table.cause.tolist())) == 255


def test_operations(recorder: Recorder) -> None:
    key = uuid.uuid4()
    recorder.operation("a", key, OperationKind.UPDATE, 3, 1001.0, 1002.5, OperationOutcome.INDETERMINATE)
    recorder.operation("b", key, OperationKind.CREATE, 1, 999.0, 1003.0, OperationOutcome.OK)
    recorder.operation("b", key, OperationKind.READ, 4, 1003.0, 1003.5, OperationOutcome.OK, 2)
    stream = BlockStream.join("w", blocks_of(recorder.take(1004.0), "operations"))
    first, second, third = OperationTable.join({"w": 0.0}, [stream])
    assert (first.account, first.key, first.kind, first.version) == ("a", str(key), OperationKind.UPDATE, 3)
    assert (first.invoked, first.ended, first.outcome) == (1.0, 2.5, OperationOutcome.INDETERMINATE)
    assert (second.account, second.invoked) == ("b", 0.0)
    assert (third.kind, third.version, third.shown) == (OperationKind.READ, 4, 2)


def test_probes_and_checked_reads(recorder: Recorder) -> None:
    recorder.read_checked()
    recorder.read_checked()
    recorder.probe("a", "foreign_read", "leaked", "Bearer abc.def")
    first, second = recorder.take(1002.0), recorder.take(1003.0)
    lines = lines_of(first, "probes.ndjson")
    assert [line.get("reads_checked") for line in lines] == [None, 2]
    assert lines[0]["detail"] == "Bearer ***"
    assert lines[1]["at"] == 2.0
    assert lines_of(second, "probes.ndjson") == []


def test_what_websockets_brought_is_told_once_there_was_one(recorder: Recorder) -> None:
    assert lines_of(recorder.take(1000.5), "websocket.ndjson") == []
    recorder.websockets.connected()
    recorder.websockets.count.missed += 3
    [line] = lines_of(recorder.take(1001.0), "websocket.ndjson")
    assert (line["at"], line["worker"], line["connections"], line["missed"]) == (1.0, "w", 1, 3)


def test_shapes_are_told_in_run_time(recorder: Recorder) -> None:
    names = {"id": 1}.keys()
    recorder.shapes.saw("GET /a", uuid.uuid4(), names, 1000.9, 1001.0)
    assert lines_of(recorder.take(1001.5), "shapes.ndjson") == [{"endpoint": "GET /a", "at": 1.0}]
    recorder.begin("w", SETTINGS, 1000.0)
    recorder.shapes.saw("GET /a", uuid.uuid4(), names, 1000.9, 1001.0)
    assert lines_of(recorder.take(1001.5), "shapes.ndjson"), "another run begins from nothing"


def test_final_read_survives_its_line(recorder: Recorder) -> None:
    totals = (Total("wallets", "30000", 3),)
    read = FinalRead("a", 1005.0, (Found("k", 2, "canary", 2),), "page 3: HTTP 503", None, totals=totals)
    recorder.final_read(read)
    (line,) = lines_of(recorder.take(1006.0), "final_read.ndjson.gz")
    assert final_read_of(line) == FinalRead("a", 5.0, read.found, read.error, None, "w", totals)


def test_outside_of_a_run_nothing_is_kept(recorder: Recorder) -> None:
    recorder.end()
    recorder.answered(recorder.sent("x", 1.0, 1.0), 2.0, Outcome.OK)
    recorder.sample("x", 1.0, 1.0, 2.0, Outcome.OK)
    recorder.on_request("GET", "/", 1.0)
    recorder.operation("a", uuid.uuid4(), OperationKind.CREATE, 1, 1.0, 2.0, OperationOutcome.OK)
    recorder.probe("a", "canary", "leaked")
    recorder.read_checked()
    batch = recorder.take(3.0)
    assert (batch.blocks, batch.lines, recorder.started) == ([], [], 0)


def test_a_second_run_begins_from_nothing(recorder: Recorder) -> None:
    old = recorder.sent("x", 1001.0, 1001.0)
    recorder.read_checked()
    recorder.begin("w", SETTINGS, 2000.0)
    new = recorder.sent("y", 2001.0, 2001.0)
    recorder.answered(old, 2002.0, Outcome.OK)
    recorder.answered(new, 2002.0, Outcome.OK)
    batch = recorder.take(2003.0)
    assert samples_of(batch).endpoints == ("y",)
    assert (recorder.started, batch.lines) == (1, [])


@pytest.mark.parametrize("intended", [1001.0, 1001.000004, 1001.2345678, 999.0])
def test_the_traceparent_of_a_request_names_the_sample_that_it_becomes(
    recorder: Recorder, intended: float
) -> None:
    token = recorder.sent("GET /documents", intended, 1002.0)
    tie = parse(recorder.traceparent(token, 7) or "")
    recorder.answered(token, 1003.0, Outcome.OK)
    [block] = blocks_of(recorder.take(1004.0), "samples")
    assert tie == Tie(worker_crc("w"), SAMPLE.unpack(block.payload)[0], 7)


def test_no_two_requests_have_the_same_traceparent(recorder: Recorder) -> None:
    tokens = [recorder.sent("GET /documents", 1001.0, 1001.0) for _ in range(3)]
    assert len({recorder.traceparent(token, 7) for token in tokens}) == 3


def test_a_request_that_is_not_recorded_has_no_traceparent() -> None:
    idle = Recorder()
    assert idle.traceparent(idle.sent("GET /documents", 1001.0, 1001.0), 7) is None


def causes_in(recorder: Recorder) -> list[str]:
    table = samples_of(recorder.take(time.monotonic()))
    return [table.causes[number] for number in table.cause]


@pytest.fixture
def lasting(recorder: Recorder) -> Recorder:
    """A recorder whose run is a minute old."""
    recorder.begin("w", SETTINGS, time.monotonic() - 60)
    return recorder


@pytest.mark.parametrize("time_ms", [None, -1, float("nan"), float("inf"), "12", True, object()])
def test_an_answer_without_a_usable_time_is_counted_and_in_no_figure(
    lasting: Recorder, time_ms: object
) -> None:
    lasting.on_request("wire", "send", time_ms)
    assert (lasting.started, lasting.finished) == (0, 0)
    assert lasting.uses == {("", "by hand", "requests"): 1, ("", "by hand", "untimed"): 1}
    lasting.on_request("wire", "send", time_ms, exception=ValueError())
    table = samples_of(lasting.take(time.monotonic()))
    assert (table.outcome.tolist(), table.latency.tolist()) == ([Outcome.ERROR], [0.0])


@pytest.mark.parametrize("start_time", [None, "yesterday", 12.5, -1, float("nan"), 1.6e9])
def test_a_start_by_another_clock_is_not_believed(lasting: Recorder, start_time: object) -> None:
    lasting.on_request("wire", "send", 250.0, start_time=start_time)
    assert samples_of(lasting.take(time.monotonic())).at == pytest.approx([59.75], abs=2.0)


@pytest.mark.parametrize("exception", [None, "", False, 0])
def test_what_locust_takes_for_no_exception_is_none(lasting: Recorder, exception: object) -> None:
    lasting.on_request("wire", "send", 1.0, exception=exception)
    assert samples_of(lasting.take(time.monotonic())).outcome.tolist() == [Outcome.OK]


def test_a_bare_event_is_a_request_without_a_name(lasting: Recorder) -> None:
    lasting.on_request(response_time=1.0)
    assert samples_of(lasting.take(time.monotonic())).endpoints == (" ",)


def test_a_long_name_is_cut_and_a_password_in_it_masked(lasting: Recorder) -> None:
    lasting.on_request("GET", "x" * 5000, 1.0)
    lasting.on_request("GET", "http://ada:s3cr3t@127.0.0.1/a", 1.0)
    names = samples_of(lasting.take(time.monotonic())).endpoints
    assert [len(name) for name in names[:1]] == [200]
    assert names[1] == "GET http://ada:***@127.0.0.1/a"


def test_an_account_keeps_its_name_whatever_it_looks_like(recorder: Recorder) -> None:
    name = "http://ada:s3cr3t@127.0.0.1"
    recorder.operation(name, uuid.uuid4(), OperationKind.CREATE, 1, 1001.0, 1002.0, OperationOutcome.OK)
    (block,) = blocks_of(recorder.take(1003.0), "operations")
    assert block.tables["accounts"] == {"0": name}


class Answered:
    """A response with a status."""

    def __init__(self, status: int) -> None:
        self.status_code = status


def broken(status: int = 0) -> dict[str, object]:
    """An event of one of Locust's HTTP sessions: the connection ended under it."""
    error = ConnectionError(ConnectionResetError(104, "Connection reset by peer"))
    return {"url": "http://127.0.0.1", "response": Answered(status), "exception": error}


def test_what_fails_on_a_connection_that_an_error_ended_is_counted_once(lasting: Recorder) -> None:
    lasting.on_request("GET", "/a", 1.0, url="u", response=Answered(500), exception=ValueError())
    lasting.on_request("GET", "/b", 1.0, **broken())  # type: ignore[arg-type]
    lasting.on_request("GET", "/c", 1.0, **broken())  # type: ignore[arg-type]
    assert causes_in(lasting) == ["ValueError", "ConnectionError"]
    assert lasting.started == lasting.finished == 2
    assert lasting.uses == {("", "", "after_error"): 1}


def test_a_connection_that_breaks_by_itself_is_an_error(lasting: Recorder) -> None:
    lasting.on_request("GET", "/a", 1.0, url="u", response=Answered(500), exception=ValueError())
    lasting.on_request("GET", "/b", 1.0, url="u", response=Answered(200))
    lasting.on_request("GET", "/c", 1.0, **broken())  # type: ignore[arg-type]
    assert causes_in(lasting) == ["ValueError", "", "ConnectionError"]


def test_a_refused_connection_after_an_error_is_an_error_of_its_own(lasting: Recorder) -> None:
    lasting.on_request("GET", "/a", 1.0, url="u", response=Answered(503), exception=ValueError())
    lasting.on_request("GET", "/b", 1.0, url="u", exception=ConnectionRefusedError())
    assert causes_in(lasting) == ["ValueError", "ConnectionRefusedError"]


def test_a_request_cut_off_is_unfinished_once(lasting: Recorder) -> None:
    now = time.monotonic()
    token = lasting.sent("GET /a", now - 2, now - 1)
    lasting.cut(token, now)
    lasting.cut(token, now)
    lasting.forget(token)
    table = samples_of(lasting.take(now))
    assert (table.outcome.tolist(), table.latency.tolist()) == ([Outcome.UNFINISHED], pytest.approx([2.0]))
    assert (lasting.started, lasting.finished, lasting.unfinished) == (1, 0, 1)


def test_uses_are_bounded_and_of_one_run(recorder: Recorder) -> None:
    for number in range(1000):
        recorder.note(f"Made{number}", "HttpUser", "requests")
    recorder.note("Made1", "HttpUser", "requests")
    assert len(recorder.uses) == 500
    assert recorder.uses["Made1", "HttpUser", "requests"] == 2
    recorder.begin("w", SETTINGS, ZERO)
    assert recorder.uses == {}
    recorder.end()
    recorder.note("Made1", "HttpUser", "requests")
    assert recorder.uses == {}
