import json
from collections import OrderedDict
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.http_json import encoded, parsed

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=5,
)


class Word(str):
    __slots__ = ()


@given(VALUES)
def test_what_is_written_says_what_the_standard_library_would(value: Any) -> None:
    assert json.loads(encoded(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True], "ü": "\u2028"}, '{"a":[1,2.5,null,true],"ü":"\u2028"}'),
        (OrderedDict(b=1, a=(2, 3)), '{"b":1,"a":[2,3]}'),
        (Word("x"), '"x"'),
        ({None: 1}, '{"null": 1}'),
        ("\ud800", '"\\ud800"'),
        (2**70, str(2**70)),
        ([float("nan"), float("-inf")], "[null,null]"),
        (date(2026, 11, 29), '"2026-11-29"'),
    ],
)
def test_what_is_written(value: Any, text: str) -> None:
    assert encoded(value) == text.encode()


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, {"a": [object()]}])
def test_what_has_no_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"not JSON serializable|keys must be"):
        encoded(value)


def test_what_is_within_itself_has_no_end() -> None:
    endless: dict[Any, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(ValueError, match="within itself"):
        encoded(endless)
    endless[None] = Word()
    with pytest.raises(ValueError, match=r"within itself|Circular"):
        encoded(endless)


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    text = json.dumps(value)
    assert repr(parsed(text)) == repr(parsed(text.encode())) == repr(json.loads(text))


@given(st.binary() | st.text(max_size=20).map(lambda text: f'["{text}"]'.encode()))
def test_any_bytes_are_read_as_the_standard_library_reads_them_or_not(body: bytes) -> None:
    try:
        expected = json.loads(body)
        json.dumps(expected, ensure_ascii=False).encode()
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 - several kinds of it
            parsed(body)
    else:
        assert repr(parsed(body)) == repr(expected)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, 2.5, null, "\xc3\xbc"]}',
        b"[]\r\n\t ",
        b' {"a": 1}',
        b"5",
        b'"x"',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": "ü"}'.encode("utf-16"),
        '{"a": "ü"}'.encode("utf-16-le"),
        '["ü"]'.encode("utf-32-be"),
        b"[1e999, 123456789012345678901234567890, -0, -0.0, 1E5, 0.1]",
        b'["\\ud83d\\ude00", "\\u00fc"]',
        '["ü"] ',
    ],
)
def test_what_is_read_is_what_the_standard_library_reads(body: bytes | str) -> None:
    assert parsed(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        "",
        b"{",
        b"[1]x",
        b"{}{}",
        b"[\xff]",
        b'["\xed\xa0\x80"]',
        b"[1]\x0b",
        b'["\\ud800"]',
        b' ["\\uDFFF"]',
        '["\\uDFFF"]',
        '["\\ud800"]'.encode("utf-16"),
        b"[" * 100_000,
        b" " + b"[" * 100_000,
        b"9" * 100_000,
    ],
)
def test_what_is_no_json_raises_value_error(body: bytes | str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - several kinds of it
        parsed(body)
