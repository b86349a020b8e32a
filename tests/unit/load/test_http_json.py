import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.http_json import encoded, parsed

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=20
)


@given(VALUES)
def test_what_is_written_is_what_the_standard_library_writes(value: Any) -> None:
    assert encoded(value) == json.dumps(value).encode()


@pytest.mark.parametrize("value", [{1, 2}, b"x", {(1, 2): 3}, {"a": [object()]}])
def test_what_json_has_not_is_refused_as_often_as_it_is_tried(value: Any) -> None:
    for _ in range(2):
        with pytest.raises(TypeError, match=r"not JSON serializable|keys must be"):
            encoded(value)
    assert encoded([1]) == b"[1]"


def test_what_is_within_itself_has_no_end() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    with pytest.raises(ValueError, match="within itself"):
        encoded(endless)


@given(VALUES)
def test_what_was_written_is_read(value: Any) -> None:
    assert repr(parsed(json.dumps(value))) == repr(json.loads(json.dumps(value)))  # NaN is not itself


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
        b"[1e999, 123456789012345678901234567890]",
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
