"""Listeners of Locust's event hear of our own requests, all but the one who knows."""

from __future__ import annotations

from typing import Any

import pytest
from locust import log
from locust.event import EventHook
from locust.exception import StopUser

from harness.load.bystanders import Bystanders, bystanders_of
from harness.load.recorder import recorder

FIELDS = {"request_type": "GET", "name": "/a"}


class Listener:
    """What was heard."""

    def __init__(self, raises: BaseException | None = None) -> None:
        self.heard: list[dict[str, Any]] = []
        self._raises = raises

    def __call__(self, **fields: Any) -> None:
        self.heard.append(fields)
        if self._raises is not None:
            raise self._raises


def hook(*listeners: Listener) -> EventHook:
    event = EventHook()
    for listener in listeners:
        event.add_listener(listener)
    return event


def test_all_are_told_but_one() -> None:
    told, other, third = Listener(), Listener(), Listener()
    Bystanders(hook(other, told, third), told).tell(FIELDS)
    assert (other.heard, told.heard, third.heard) == ([FIELDS], [], [FIELDS])


def test_who_comes_and_goes_is_noticed() -> None:
    told, first, second = Listener(), Listener(), Listener()
    event = hook(first)
    bystanders = Bystanders(event, told)
    bystanders.tell(FIELDS)
    event.add_listener(told)
    event.add_listener(second)
    event.remove_listener(first)
    bystanders.tell(FIELDS)
    assert [len(one.heard) for one in (told, first, second)] == [0, 1, 1]


def test_what_a_listener_raises_is_logged_and_the_next_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `EventHook.fire` does it, in the same words; Locust's exit code knows of it."""
    monkeypatch.setattr(log, "unhandled_greenlet_exception", False)
    told, next_one = Listener(), Listener()
    event = hook(Listener(ValueError("odd")), next_one)
    Bystanders(event, told).tell(FIELDS)
    assert log.unhandled_greenlet_exception
    event.fire(**FIELDS)
    ours, locusts = (record.getMessage() for record in caplog.records)
    assert len(next_one.heard) == 2
    assert ours.splitlines()[0] == locusts.splitlines()[0]
    assert ours.splitlines()[-1] == locusts.splitlines()[-1] == "ValueError: odd"


def test_what_is_meant_for_the_user_passes() -> None:
    with pytest.raises(StopUser):
        Bystanders(hook(Listener(StopUser())), Listener()).tell(FIELDS)


def test_sessions_share_the_bystanders_of_their_event() -> None:
    event, other = EventHook(), Listener()
    event.add_listener(recorder.on_request)
    event.add_listener(other)
    assert bystanders_of(event) is bystanders_of(event)
    bystanders_of(event).tell(FIELDS)
    assert len(other.heard) == 1
    assert bystanders_of(event) is not bystanders_of(EventHook())
