"""A declared stream tells what a message says, whatever is in it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.bodies import ShapeError
from harness.core.stream import Message, Stream
from harness.errors import UsageError

OURS = Stream("/ws", record="document")


def read(stream: Stream = OURS, /, **message: Any) -> Message:
    return stream.read(json.dumps(message))


def test_a_change_tells_its_number_its_time_and_its_record() -> None:
    told = read(type="change", seq=7, committed_at=50.25, document="d1", op="update")
    assert told == Message(sequence=7, committed=50.25, record="d1")


def test_a_greeting_tells_the_last_number() -> None:
    assert read(type="welcome", account="ada", last_seq=3) == Message(last=3)


def test_a_status_bears_its_announcements_number() -> None:
    assert read(type="migration", status="started", announcement=2) == Message(announcement=2)


def test_fields_may_lie_deeper() -> None:
    theirs = Stream("/live", sequence="meta.n", committed="meta.at", record="item.id", greeting="upto")
    told = read(theirs, meta={"n": 1, "at": "2026-11-29T12:00:00Z"}, item={"id": 5})
    assert told == Message(sequence=1, committed=1795953600.0, record="5")


@pytest.mark.parametrize("text", ["2026-11-29T12:00:00", "2026-11-29T13:00:00+01:00"])
def test_a_time_without_an_offset_is_utc(text: str) -> None:
    assert read(seq=1, committed_at=text).committed == 1795953600.0


def test_what_is_of_no_known_shape_says_nothing() -> None:
    assert read(type="heartbeat") == Message()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "a message that is not JSON"),
        (b"\xff\xfe{}", "a message that is not JSON"),
        ("[" * 100_000, "a message that is not JSON"),
        ("7", "a message that is no object"),
        ('{"seq": "7"}', "a message without a whole number in 'seq'"),
        ('{"seq": true}', "a message without a whole number in 'seq'"),
        ('{"seq": 1e3}', "a message without a whole number in 'seq'"),
        (f'{{"seq": {10**30}}}', "a message without a whole number in 'seq'"),
        ('{"seq": 1, "committed_at": "noon"}', "a message without a time in 'committed_at'"),
        ('{"seq": 1, "committed_at": NaN}', "a message without a time in 'committed_at'"),
        ('{"seq": 1, "committed_at": 1e300}', "a message without a time in 'committed_at'"),
        (f'{{"seq": 1, "committed_at": {10**400}}}', "a message without a time in 'committed_at'"),
    ],
)
def test_a_strange_message_is_named_without_its_content(text: str | bytes, what: str) -> None:
    with pytest.raises(ShapeError) as strange:
        OURS.read(text)
    assert str(strange.value) == what


@given(st.binary() | st.text() | st.recursive(st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_message_is_read_or_named(text: str | bytes) -> None:
    with suppress(ShapeError):  # no other error comes out
        assert isinstance(OURS.read(text), Message)


def test_a_stream_resumes_after_the_last_number() -> None:
    assert (OURS.target(None), OURS.target(0)) == ("/ws", "/ws?after=0")
    assert Stream("/ws", resume=None).target(9) == "/ws"


def test_a_token_may_stand_in_the_path() -> None:
    theirs = Stream("/ws?token={token}", resume="&after={last}")
    assert theirs.target(None, "a+b/c=") == "/ws?token=a%2Bb%2Fc%3D"
    assert theirs.target(7, "t") == "/ws?token=t&after=7"


def test_what_is_said_first_names_account_and_token_whatever_is_in_them() -> None:
    theirs = Stream("/ws", says=[{"query": "{ items { id } }"}, {"as": "{name}", "auth": ["{token}", 1]}])
    words = [json.loads(text) for text in theirs.first_words('o"hara', "t\\k")]
    assert words == [{"query": "{ items { id } }"}, {"as": 'o"hara', "auth": ["t\\k", 1]}]
    assert OURS.first_words("ada", "t") == []


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Stream("ws"), "Shopper.stream has the path 'ws'"),
        (Stream("/ws", resume="?after"), "Shopper.stream resumes by '?after'"),
    ],
)
def test_a_wrong_declaration_is_refused(stream: Stream, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        stream.check("Shopper")
