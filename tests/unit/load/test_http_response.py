import gzip
import zlib
from collections.abc import Callable
from datetime import timedelta

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.http_answer import AnswerError
from harness.load.http_response import Response, StatusError, decoded

TEXT = b"what is said, and said again. " * 50
MOST = 10_000

Encode = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


def encoded(*names: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"text/plain"), *((b"content-encoding", name) for name in names)]


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        (b"gzip", gzip.compress),
        (b"GZIP", gzip.compress),
        (b"x-gzip", lambda text: gzip.compress(text[:100]) + gzip.compress(text[100:])),
        (b"gzip", lambda text: gzip.compress(text) + b"what browsers pass over"),
        (b"deflate", zlib.compress),
        (b"deflate", raw_deflate),
        (b"br", brotli.compress),
        (b"deflate, gzip", lambda text: gzip.compress(zlib.compress(text))),
        (b"identity", bytes),
    ],
)
def test_a_body_is_decoded_as_it_says(name: bytes, encode: Encode) -> None:
    assert decoded(encode(TEXT), encoded(name), MOST) == TEXT


def test_a_body_that_says_nothing_is_its_content() -> None:
    assert decoded(TEXT, encoded(), MOST) == TEXT
    assert decoded(b"", encoded(b"gzip"), MOST) == b""
    assert decoded(gzip.compress(zlib.compress(TEXT)), encoded(b"deflate", b"gzip"), MOST) == TEXT


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        (b"gzip", bytes),
        (b"gzip", lambda text: gzip.compress(text)[:-9]),
        (b"gzip", lambda text: gzip.compress(text)[:-4] + b"abcd"),
        (b"deflate", bytes),
        (b"deflate", lambda text: zlib.compress(text)[:-5]),
        (b"br", bytes),
        (b"br", lambda text: brotli.compress(text)[:-5]),
        (b"zstd", bytes),
        (b"gzip, snappy", bytes),
    ],
)
def test_a_body_that_is_not_what_it_says_is_broken(name: bytes, encode: Encode) -> None:
    with pytest.raises(AnswerError):
        decoded(encode(TEXT), encoded(name), MOST)


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        (b"gzip", gzip.compress),
        (b"gzip", lambda text: gzip.compress(text[:6_000]) * 2),
        (b"deflate", zlib.compress),
        (b"deflate", raw_deflate),
        (b"br", brotli.compress),
        (b"gzip, gzip", lambda text: gzip.compress(gzip.compress(text))),
    ],
)
def test_a_body_that_grows_beyond_the_bound_is_broken(name: bytes, encode: Encode) -> None:
    with pytest.raises(AnswerError, match="longer than 0 MB"):
        decoded(encode(bytes(1_000_000)), encoded(name), MOST)


@given(st.binary(max_size=300), st.sampled_from([b"gzip", b"deflate", b"br", b"gzip, br"]))
def test_any_bytes_are_decoded_within_the_bound_or_broken(body: bytes, name: bytes) -> None:
    for bytes_ in (body, gzip.compress(body) + body, brotli.compress(body) + body):
        try:
            content = decoded(bytes_, encoded(name), MOST)
        except AnswerError:
            continue
        assert len(content) <= MOST


def test_headers_go_by_name_and_one_sent_twice_is_a_list() -> None:
    response = Response(200, b"", [(b"x-one", b"caf\xe9"), (b"set-cookie", b"a"), (b"set-cookie", b"b")])
    assert response.headers["X-One"] == "café"
    assert response.headers.get("Set-Cookie") == ["a", "b"]
    assert response.headers.get("Absent") is None
    assert Response().headers.get("Anything") is None


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (b"text/html; charset=ISO-8859-1", b"caf\xe9", "café"),
        (b'text/html; charset="utf-8"; x=y', b"caf\xc3\xa9", "café"),
        (b"text/html; charset=utf-8", b"caf\xe9", "caf\ufffd"),
        (b"text/html; charset=no-such", b"caf\xc3\xa9", "café"),
        (b"text/html; charset=", b"caf\xc3\xa9", "café"),
        (b"text/html", b"caf\xc3\xa9", "café"),
        (b"text/html", b"caf\xe9", "caf\ufffd"),
        (b"text/html; charset=hex", b"caf\xc3\xa9", "café"),
        (b"application/json", b"caf\xc3\xa9", "café"),
    ],
)
def test_text_is_read_by_its_charset_or_as_it_can_be(kind: bytes, content: bytes, text: str) -> None:
    assert Response(200, content, [(b"content-type", kind)]).text == text


def test_text_is_read_by_an_encoding_that_is_set() -> None:
    response = Response(200, "ж".encode("koi8-r"))
    response.encoding = "koi8-r"
    assert response.text == "ж"


def test_json_is_the_content_or_an_error() -> None:
    assert Response(200, b'{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(ValueError, match="Expecting value"):
        Response(200, b"").json()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"application/json", '["ü"]'.encode()),
        (b"application/json; charset=latin-1", '["ü"]'.encode("latin-1")),
        (b"application/json; charset=utf-16", '["ü"]'.encode("utf-16")),
        (b"application/json; charset=utf-16", b'["\\u00fc"]'),
        (b"application/json; charset=klingon", '["ü"]'.encode()),
        (b"application/json; charset=klingon", b'["\\u00fc"]'),
    ],
)
def test_json_is_read_by_its_charset_or_as_it_can_be(kind: bytes, content: bytes) -> None:
    assert Response(200, content, [(b"content-type", kind)]).json() == ["ü"]


@pytest.mark.parametrize(
    ("response", "ok"),
    [
        (Response(200), True),
        (Response(302), True),
        (Response(404), False),
        (Response(0, error=ConnectionResetError()), False),
        (Response(200, error=AnswerError("cut off")), False),
    ],
)
def test_ok_is_an_answer_in_full_that_refuses_nothing(response: Response, ok: bool) -> None:
    assert response.ok is ok


def test_raise_for_status_raises_what_went_wrong() -> None:
    Response(302).raise_for_status()
    with pytest.raises(StatusError, match="HTTP 404"):
        Response(404).raise_for_status()
    with pytest.raises(ConnectionResetError):
        Response(200, error=ConnectionResetError()).raise_for_status()


def test_a_response_says_what_was_asked_and_how_long_it_took() -> None:
    response = Response(200, method="GET", url="http://h/a", elapsed_s=0.25)
    assert repr(response) == "<Response GET http://h/a: HTTP 200>"
    assert response.elapsed == timedelta(seconds=0.25)
    assert repr(Response(method="GET", url="http://h/a")) == "<Response GET http://h/a: no answer>"
