"""Locust's own clients are known from the send on, however their requests end."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from harness.clock import monotonic
from harness.core.client_limits import BY_HAND, FAST_HTTP, HTTP, Use
from harness.core.samples import Outcome, SampleTable
from harness.load import plain_clients
from harness.load.messages import RunSettings
from harness.load.plain_clients import _measured, _watched
from harness.load.recorder import Recorder
from tests.unit.load.test_recorder import samples_of

SETTINGS = RunSettings("run", "canary", 1, 1, None, 0, 1, 1)


class Shopper:
    """A user, as far as a session knows it."""


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The recorder of the watched sessions, in a run."""
    recorder = Recorder()
    recorder.begin("w", SETTINGS, monotonic() - 10)
    monkeypatch.setattr(plain_clients, "recorder", recorder)
    return recorder


def a_session(kind: Any = HttpSession, group: str | None = None) -> Any:
    session = kind.__new__(kind)
    session.request_name, session.user = group, Shopper()
    return session


def table_of(recorder: Recorder) -> SampleTable:
    return samples_of(recorder.take(monotonic()))


def ending(error: BaseException) -> Callable[..., Any]:
    def request(*_: object, **__: object) -> Any:
        raise error

    return request


def test_a_request_is_in_flight_while_it_lasts_and_its_event_makes_the_sample(recorder: Recorder) -> None:
    def request(*_: object, **__: object) -> Any:
        assert recorder.in_flight == 1
        recorder.on_request("GET", "/a", 5.0, url="http://127.0.0.1/a")
        return SimpleNamespace(history=[])

    _watched(request, HTTP)(a_session(), "GET", "/a")
    assert (recorder.in_flight, recorder.started, len(table_of(recorder))) == (0, 1, 1)


@pytest.mark.parametrize("client", [HttpSession, FastHttpSession])
def test_a_request_whose_user_is_stopped_is_unfinished_with_its_age(recorder: Recorder, client: type) -> None:
    with pytest.raises(gevent.GreenletExit):
        _watched(ending(gevent.GreenletExit()), HTTP)(a_session(client), "GET", "/a")
    table = table_of(recorder)
    assert (table.outcome.tolist(), table.endpoints) == ([Outcome.UNFINISHED], ("GET /a",))
    assert table.latency[0] < 1.0
    assert (recorder.started, recorder.finished, recorder.unfinished) == (1, 0, 1)


def test_a_task_that_gives_up_by_a_gevent_timeout_leaves_an_error(recorder: Recorder) -> None:
    with pytest.raises(gevent.Timeout):
        _watched(ending(gevent.Timeout(1)), HTTP)(a_session(), "GET", "/a")
    table = table_of(recorder)
    assert [table.causes[number] for number in table.cause] == ["timed out"]


def test_what_was_never_sent_is_no_request(recorder: Recorder) -> None:
    with pytest.raises(TypeError):
        _watched(ending(TypeError()), HTTP)(a_session(), "GET", "/a")
    assert (recorder.started, len(table_of(recorder))) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "group", "url", "options", "name"),
    [
        (HttpSession, None, "/a?b=1", {}, "/a?b=1"),
        (HttpSession, None, "http://127.0.0.1:8000", {}, "/"),
        (HttpSession, None, b"http://127.0.0.1/a?b", {}, "/a?b"),
        (HttpSession, "group", "/a", {}, "group"),
        (HttpSession, "group", "/a", {"name": "own"}, "own"),
        (FastHttpSession, None, "http://127.0.0.1/a", {}, "http://127.0.0.1/a"),
        (FastHttpSession, "group", "/a", {}, "group"),
    ],
)
def test_what_hangs_has_the_name_it_would_have_had(
    recorder: Recorder, kind: type, group: str | None, url: Any, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(gevent.GreenletExit):
        _watched(ending(gevent.GreenletExit()), HTTP)(a_session(kind, group), "GET", url, **options)
    assert table_of(recorder).endpoints == (f"GET {name}",)


def test_what_a_client_hides_is_counted_by_the_users_class(recorder: Recorder) -> None:
    answer = SimpleNamespace(history=[1, 2])
    request = _watched(lambda *_, **__: answer, HTTP)
    request(a_session(), "GET", "/a")
    request(a_session(), "GET", "/a", timeout=5, stream=True)
    assert dict(recorder.uses) == {
        ("Shopper", HTTP, Use.REQUESTS): 2,
        ("Shopper", HTTP, Use.NO_DEADLINE): 1,
        ("Shopper", HTTP, Use.REDIRECTS): 4,
        ("Shopper", HTTP, Use.STREAMED): 1,
    }
    recorder.uses.clear()
    _watched(lambda *_, **__: SimpleNamespace(), FAST_HTTP)(a_session(FastHttpSession), "GET", "/a")
    assert dict(recorder.uses) == {("Shopper", FAST_HTTP, Use.REQUESTS): 1}


class Measuring:
    """A request event whose measurements are watched, and which tells the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.hook = EventHook()
        self.hook.add_listener(recorder.on_request)
        self.measure = _measured(EventHook.measure)


def test_a_measurement_is_in_flight_and_then_what_its_event_says(recorder: Recorder) -> None:
    measuring = Measuring(recorder)
    with measuring.measure(measuring.hook, "wire", "send"):
        assert recorder.in_flight == 1
    with measuring.measure(measuring.hook, "wire", "send", 5, context={}):
        ending(TimeoutError())()
    table = table_of(recorder)
    assert table.outcome.tolist() == [Outcome.OK, Outcome.ERROR]
    assert (recorder.in_flight, recorder.started) == (0, 2)
    assert not any(client == BY_HAND for _, client, _ in recorder.uses)


def test_a_measurement_that_is_stopped_is_no_success(recorder: Recorder) -> None:
    measuring = Measuring(recorder)
    with pytest.raises(gevent.GreenletExit), measuring.measure(measuring.hook, "wire", "send"):
        ending(gevent.GreenletExit())()
    assert table_of(recorder).outcome.tolist() == [Outcome.UNFINISHED]


def test_a_measurement_that_was_given_up_is_not_recorded_again(recorder: Recorder) -> None:
    measuring = Measuring(recorder)
    with measuring.measure(measuring.hook, "wire", "send"):
        recorder.abandon(monotonic())
    assert table_of(recorder).outcome.tolist() == [Outcome.UNFINISHED]
