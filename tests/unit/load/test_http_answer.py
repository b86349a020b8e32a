from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load import http_answer
from harness.load.http_answer import Answer, AnswerError, BrokenAnswerError, ClosedError, Http2Error

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOST = 100_000


def fed(*parts: bytes, head_only: bool = False, most_bytes: int = MOST) -> Answer:
    answer = Answer(most_bytes)
    answer.begin(head_only=head_only)
    for part in parts:
        answer.feed(part)
    return answer


def by_bytes(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def test_an_answer_is_its_status_its_lines_and_its_body() -> None:
    answer = fed(OK + b"Content-Length: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n{}")
    assert (answer.complete, answer.status, answer.body) == (True, 200, b"{}")
    assert answer.headers == [(b"content-length", b"2"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@pytest.mark.parametrize(
    ("sent", "status", "body", "keeps"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", 200, b"abc", True),
        (OK + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc", 200, b"abc", False),
        (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", 200, b"abc", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\nabc", 200, b"abc", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + b"HTTP/1.1 204 x\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 101, b"", False),
    ],
)
def test_what_ends_an_answer_and_whether_its_connection_is_kept(
    sent: bytes, status: int, body: bytes, keeps: bool
) -> None:
    for parts in ([sent], by_bytes(sent)):
        answer = fed(*parts)
        assert (answer.complete, answer.status, answer.body, answer.keeps) == (True, status, body, keeps)


def test_answer_without_a_length_ends_with_its_connection() -> None:
    answer = fed(OK + b"\r\nab", b"c")
    assert not answer.complete
    answer.end()
    assert (answer.complete, answer.body, answer.keeps) == (True, b"abc", False)


def test_no_answer_is_a_closed_connection() -> None:
    with pytest.raises(ClosedError):
        fed().end()


@pytest.mark.parametrize(
    "sent",
    [
        b"H",
        OK,
        OK + b"Content-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        OK + b"Content-Length: 3\r\n\r\nab",
        CHUNKED + b"1\r\na\r\n0\r\n",
    ],
)
def test_answer_that_is_cut_off_is_broken(sent: bytes) -> None:
    with pytest.raises(BrokenAnswerError, match="within the answer"):
        fed(sent).end()


@pytest.mark.parametrize(
    "sent",
    [
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        OK + b"Content-Length: abc\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        CHUNKED + b"xyz\r\nabc\r\n",
        CHUNKED + b"-1\r\nabc\r\n",
        CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc\r\n",
        CHUNKED + b"2\r\nabcd\r\n",
        OK + b"no colon\r\n\r\n",
    ],
)
def test_what_is_no_http_is_broken(sent: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        fed(sent)


def test_http_2_is_refused_by_name() -> None:
    settings_frame = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)
    with pytest.raises(Http2Error, match="HTTP/2"):
        fed(settings_frame)


@pytest.mark.parametrize(
    "more", [b"x", b"HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\nx", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_what_follows_an_answer_belongs_to_no_request(more: bytes) -> None:
    answer = fed(OK + b"Content-Length: 2\r\n\r\n{}" + more)
    assert (answer.status, answer.body, answer.keeps) == (200, b"{}", False)
    assert answer.headers == [(b"content-length", b"2")]


def test_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    answer = fed(OK + b"Content-Length: 5\r\n\r\n", head_only=True)
    assert (answer.complete, answer.body, answer.keeps) == (True, b"", True)
    answer.begin(head_only=False)
    answer.feed(OK + b"Content-Length: 1\r\n\r\nx")
    assert (answer.complete, answer.body, answer.keeps) == (True, b"x", True)
    assert not fed(OK + b"Content-Length: 5\r\n\r\nabcde", head_only=True).keeps
    assert not fed(OK + b"\r\n", head_only=True).keeps


def test_an_answer_holds_nothing_of_the_one_before() -> None:
    answer = fed(b"HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 3\r\n\r\nabc")
    before = answer.headers
    answer.begin(head_only=False)
    assert (answer.status, answer.headers, answer.body, answer.complete, answer.keeps) == (
        0,
        [],
        b"",
        False,
        False,
    )
    assert len(before) == 2


def test_trailers_are_dropped() -> None:
    answer = fed(CHUNKED + b"1\r\na\r\n0\r\n" + b"T: t\r\n" * 1000 + b"\r\n")
    assert answer.complete
    assert answer.headers == [(b"transfer-encoding", b"chunked")]


def feed_for_ever(answer: Answer, data: bytes) -> None:
    for _ in range(1000):
        answer.feed(data)


@pytest.mark.parametrize(
    ("sent", "again"),
    [
        (OK, b"X-Flood: " + b"x" * 1000 + b"\r\n"),
        (OK + b"X: ", b"x" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (OK + b"\r\n", b"x" * 1000),
        (OK + b"Content-Length: 999999999\r\n\r\n", b"x" * 1000),
        (CHUNKED + b"", b"1;" + b"x" * 1000 + b"\r\na\r\n"),
        (CHUNKED + b"0\r\n", b"T: t\r\n" * 100),
    ],
)
def test_no_answer_goes_on_for_ever(monkeypatch: pytest.MonkeyPatch, sent: bytes, again: bytes) -> None:
    monkeypatch.setattr(http_answer, "MOST_HEAD_BYTES", 10_000)
    answer = fed(sent)
    with pytest.raises(AnswerError, match="longer than"):
        feed_for_ever(answer, again)
    assert len(answer.body) <= MOST
    assert sum(len(name) + len(value) for name, value in answer.headers) <= 12_000


PIECES = [
    OK,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Content-Encoding: gzip\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"abc",
    b"FFFFFFFFFFFFFFFF\r\n",
    b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
]
ANYTHING = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=30)


@settings(max_examples=100, deadline=None)
@given(parts=ANYTHING, head_only=st.booleans(), again=st.booleans())
def test_whatever_is_sent_comes_to_one_end(parts: list[bytes], head_only: bool, again: bool) -> None:
    answer = Answer(500)
    for _ in range(1 + again):
        answer.begin(head_only=head_only)
        ends = []
        try:
            for part in parts:
                answer.feed(part)
                if answer.complete:
                    break
            else:
                answer.end()
            ends.append("answered")
            assert answer.complete
        except (BrokenAnswerError, ClosedError):
            ends.append("no answer")
            assert not answer.complete
        assert len(ends) == 1
        assert len(answer.body) <= 500 + 40
        assert sum(len(name) + len(value) for name, value in answer.headers) <= sum(map(len, parts))
        if not (answer.complete and answer.keeps):
            return  # the connection is closed: nothing is read from it again


@settings(max_examples=100, deadline=None)
@given(
    body=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 300), max_size=10),
    chunked=st.booleans(),
    interim=st.integers(0, 2),
)
def test_an_answer_is_the_same_however_it_is_cut(
    body: bytes, cuts: list[int], chunked: bool, interim: int
) -> None:
    if chunked:
        framed = b"Transfer-Encoding: chunked\r\n\r\n"
        framed += b"".join(b"1\r\n" + body[n : n + 1] + b"\r\n" for n in range(len(body))) + b"0\r\n\r\n"
    else:
        framed = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    sent = b"HTTP/1.1 102 Processing\r\n\r\n" * interim + OK + framed
    places = sorted({0, *(cut for cut in cuts if cut < len(sent)), len(sent)})
    answer = fed(*(sent[a:b] for a, b in pairwise(places)))
    assert (answer.complete, answer.status, answer.body, answer.keeps) == (True, 200, body, True)
