from typing import Any

import pytest

from harness.load.http_request import (
    Head,
    basic_auth,
    body_of,
    is_target,
    message,
    refuse,
    target_of,
    without_account,
)


def test_a_message_has_its_defaults_its_headers_and_its_body() -> None:
    defaults = Head({"Host": "h:1", "Accept": "*/*"})
    sent = message("POST", "/a?b=c", defaults, {"X-One": 1}, b'{"a": 1}', "application/json")
    assert sent == (
        b"POST /a?b=c HTTP/1.1\r\nHost: h:1\r\nAccept: application/json\r\n"
        b'Content-Type: application/json\r\nX-One: 1\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    )


def test_headers_win_over_defaults_whatever_the_case_of_their_names() -> None:
    defaults = Head({"Host": "h", "User-Agent": "ours", "Accept-Encoding": "br", "Left-Out": None})
    headers = {"user-agent": "theirs", "ACCEPT-ENCODING": None, "content-type": "text/csv"}
    sent = message("PUT", "/", defaults, headers, b"x", "application/json")
    assert sent == (
        b"PUT / HTTP/1.1\r\nHost: h\r\nuser-agent: theirs\r\ncontent-type: text/csv\r\n"
        b"Accept: application/json\r\nContent-Length: 1\r\n\r\nx"
    )


def test_a_message_is_as_its_own_headers_say_whatever_went_before() -> None:
    head = Head({"Host": "h"})
    headers: dict[str, str | int | None] = {"X": "1"}
    asked = [
        (None, None),
        (headers, None),
        (headers, "application/json"),
        ({"X": "2"}, None),
        ({"X": "1", "Host": None}, None),
        (None, "application/json"),
        (headers, None),
    ]
    for given, kind in asked:
        fresh = message("PUT", "/", Head({"Host": "h"}), given, b"1", kind)
        assert message("PUT", "/", head, given, b"1", kind) == fresh
    assert "X: 2" not in repr(head.common({"X": "2"}, None))
    headers["X"] = "3"
    assert b"X: 3\r\n" in message("PUT", "/", head, headers)
    with pytest.raises(ValueError, match="line break"):
        message("PUT", "/", head, {"X": "a\r\nInjected: yes"})
    assert message("PUT", "/", head) == b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", None, None),
        ("DELETE", None, None),
        ("POST", None, b"0"),
        ("PATCH", b"", b"0"),
        ("GET", b"ab", b"2"),
    ],
)
def test_a_body_is_sent_by_its_length(method: str, body: bytes | None, length: bytes | None) -> None:
    sent = message(method, "/", Head({}), None, body)
    assert (b"Content-Length: " in sent) == (length is not None)
    assert length is None or b"Content-Length: " + length + b"\r\n\r\n" + (body or b"") in sent


@pytest.mark.parametrize(
    ("method", "headers", "why"),
    [
        ("GET", {"X": "a\r\nInjected: yes"}, "line break"),
        ("GET", {"X": "a\nb"}, "line break"),
        ("GET", {"X\r\nY": "a"}, "line break"),
        ("GET", {"X": "a\0"}, "line break"),
        ("GET /x HTTP/1.1\r\nA: b\r\n\r\nGET", None, "no HTTP method"),
        ("", None, "no HTTP method"),
        ("GET", {"Content-Length": "5"}, "no body"),
        ("POST", {"Transfer-Encoding": "chunked"}, "Transfer-Encoding"),
        ("GET", {"X": "snow ☃"}, "latin-1"),
    ],
)
def test_what_would_be_another_message_is_refused(
    method: str, headers: dict[str, str] | None, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        message(method, "/", Head({"Host": "h"}), headers)


def test_a_claimed_length_gives_way_to_the_real_one() -> None:
    sent = message("POST", "/", Head({}), {"content-length": "99"}, b"ab")
    assert sent == b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"


@pytest.mark.parametrize(
    ("headers", "line"),
    [
        (None, b"traceparent: ours\r\n"),
        ({"Traceparent": "theirs"}, b"Traceparent: theirs\r\n"),
        ({"traceparent": None}, b""),
    ],
)
def test_a_traceparent_is_sent_unless_the_headers_have_one(
    headers: dict[str, str | None] | None, line: bytes
) -> None:
    sent = message("GET", "/", Head({}), headers, traceparent="ours")
    assert sent == b"GET / HTTP/1.1\r\n" + line + b"\r\n"


@pytest.mark.parametrize(
    ("path", "params", "target"),
    [
        ("", None, "/"),
        ("/a", None, "/a"),
        ("?a=b", None, "/?a=b"),
        ("/a#part", None, "/a"),
        ("/a b/ü?q=ä c", None, "/a%20b/%C3%BC?q=%C3%A4%20c"),
        ("/a%20b?x=%2F", None, "/a%20b?x=%2F"),
        ("/a\r\nX: y", None, "/a%0D%0AX:%20y"),
        ("/a", {"q": "x y", "n": 1, "none": None, "many": [1, 2]}, "/a?q=x+y&n=1&many=1&many=2"),
        ("/a?z=1", [("q", "&"), ("q", "=")], "/a?z=1&q=%26&q=%3D"),
        ("/a", {}, "/a"),
    ],
)
def test_a_target_is_a_path_with_its_query(path: str, params: Any, target: str) -> None:
    assert target_of(path, params) == target


@pytest.mark.parametrize("path", ["/", "/a", "/a?b=c&d=%20", "/~a!*'();:@&=+$,/?[]", "/a//b"])
def test_a_path_that_needs_nothing_is_its_own_target(path: str) -> None:
    assert is_target(path)
    assert target_of(path) == path


@pytest.mark.parametrize("path", ["", "a", "http://h/a", "/a b", "/ü", "/a#b", "/a\r\nX: y", "/a\n", "/\x7f"])
def test_any_other_path_is_none(path: str) -> None:
    assert not is_target(path)


def test_a_name_and_a_password_are_basic_authentication() -> None:
    """The examples of RFC 7617, §2 and §2.1."""
    assert basic_auth("Aladdin", b"open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert basic_auth("test", "123£") == "Basic dGVzdDoxMjPCow=="


@pytest.mark.parametrize(
    ("url", "plain", "authorization"),
    [
        ("http://h:1/a", "http://h:1/a", None),
        ("http://Aladdin:open%20sesame@h:1/a", "http://h:1/a", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("https://name@[::1]", "https://[::1]", "Basic bmFtZTo="),
    ],
)
def test_an_url_is_parted_from_its_account(url: str, plain: str, authorization: str | None) -> None:
    assert without_account(url) == (plain, authorization)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream", True),
        ("timeout", 5),
        ("timeout", 0),
        ("verify", False),
        ("verify", "authorities.pem"),
        ("files", {"a": b"b"}),
        ("cert", "own.pem"),
        ("cookies", {}),
        ("hooks", {}),
        ("proxies", {}),
    ],
)
def test_what_other_clients_take_is_refused_by_name_with_what_to_do(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{name}= is not taken: .{{10}}"):
        refuse({name: value})


def test_what_asks_for_nothing_is_taken() -> None:
    refuse({"stream": False, "timeout": None, "verify": True, "files": None})


def test_an_option_that_nobody_knows_is_refused_whatever_its_value() -> None:
    with pytest.raises(TypeError, match="jsn= is no option"):
        refuse({"stream": False, "jsn": None})


@pytest.mark.parametrize(
    ("data", "json", "body", "kind"),
    [
        (None, None, None, None),
        (b"raw", None, b"raw", None),
        ("täxt", None, "täxt".encode(), None),
        (bytearray(b"raw"), None, b"raw", None),
        ({"a": "b c", "d": ["1", "2"]}, None, b"a=b+c&d=1&d=2", "application/x-www-form-urlencoded"),
        ([("a", "1"), ("a", "2")], None, b"a=1&a=2", "application/x-www-form-urlencoded"),
        (None, {"a": 1}, b'{"a":1}', "application/json"),
        (None, [], b"[]", "application/json"),
        (None, False, b"false", "application/json"),
        ({}, {"a": 1}, b'{"a":1}', "application/json"),
    ],
)
def test_a_body_is_what_is_given_a_form_or_json(
    data: Any, json: Any, body: bytes | None, kind: str | None
) -> None:
    assert body_of(data, json) == (body, kind)


@pytest.mark.parametrize(("data", "json"), [("x", {}), (object(), None), (iter([b"x"]), None), (5, None)])
def test_other_data_is_refused(data: Any, json: Any) -> None:
    with pytest.raises(TypeError, match="data="):
        body_of(data, json)
