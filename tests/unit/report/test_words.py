"""Numbers in words."""

from __future__ import annotations

import pytest

from harness.report.words import (
    amount,
    clean,
    count,
    pair,
    plural,
    rate,
    seconds,
    several,
    share,
    shorten,
    size,
)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.000412, "0.412 ms"),
        (0.0183, "18.3 ms"),
        (0.412, "412 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (4.213, "4.21 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (134, "2 min 14 s"),
        (-0.02, "-20 ms"),
    ],
)
def test_seconds_take_the_unit_that_reads_best(value: float | None, words: str) -> None:
    assert seconds(value) == words


def test_other_numbers_have_their_signs() -> None:
    assert (share(0.0084), share(0), share(1.0), share(None)) == ("0.84 %", "0 %", "100 %", "–")
    assert (rate(79.62), rate(1204.4), rate(None)) == ("79.6/s", "1,204/s", "–")
    assert (count(1204), count(2.5), count(None)) == ("1,204", "2.5", "–")
    assert (plural(1, "reply", "replies"), plural(2, "reply", "replies"), plural(0, "leak")) == (
        "1 reply",
        "2 replies",
        "0 leaks",
    )


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.5, "s", "500 ms"),
        (250, "ms", "250 ms"),
        (2, "min", "2 min"),
        (0.01, "ratio", "1 %"),
        (5, "%", "5 %"),
        (80, "/s", "80/s"),
        (3, "count", "3"),
        (3, None, "3"),
        (3, "files", "3 files"),
        (None, "s", "–"),
        ("d52e1b8cf3ea", "", "d52e1b8cf3ea"),
        (True, "", "True"),
    ],
)
def test_a_gate_amount_follows_its_unit(value: object, unit: str | None, words: str) -> None:
    assert amount(value, unit) == words


def test_two_numbers_that_would_print_alike_are_told_apart() -> None:
    assert pair(1.0004, 1.0, "s") == ("1.0004 s", "1.0 s")
    assert pair(1.2, 1.0, "s") == ("1.2 s", "1 s")
    assert pair(0, 0, "count") == ("0", "0")


def test_clean_removes_what_a_terminal_or_an_xml_parser_would_act_on() -> None:
    assert clean("a\x1b[31mb\x00\u202ec\ud800\uffff") == "a\ufffd[31mb\ufffd\ufffdc\ufffd\ufffd"
    assert clean("SELECT 1\r\n\tAND 2") == "SELECT 1\n\tAND 2"


def test_shorten_gives_one_line() -> None:
    assert shorten("SELECT\n  1", 20) == "SELECT 1"
    assert shorten("SELECT title FROM documents", 12) == "SELECT titl…"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 kB"),
        (13_002_342, "12.4 MB"),
        (2 * 1024**4, "2 TB"),
    ],
)
def test_sizes_are_as_postgresql_prints_them(value: float | None, words: str) -> None:
    assert size(value) == words


def test_several_names_the_first_and_counts_the_rest() -> None:
    assert several("abc") == "a, b, c"
    assert several("abcdef", 2) == "a, b and 4 more"
    assert several([]) == ""
