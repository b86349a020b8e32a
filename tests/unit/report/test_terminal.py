"""The summary for a terminal, and the live line."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.report import terminal
from harness.report.view import View
from tests.unit.report import sample
from tests.unit.report.hostile import hostile


def printed(view: View, width: int = 100, colour: bool = False) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, force_terminal=colour, no_color=not colour)
    terminal.render(view, console, "runs/latest/report.html")
    return output.getvalue()


def test_a_red_run_says_why_in_its_first_lines() -> None:
    lines = printed(sample.red()).strip().splitlines()
    assert lines[0].startswith("✘ FAIL  Upgrade to unsafe@head")
    assert "throughput is 31.2/s, the limit is 75.5/s." in lines[1]


@pytest.mark.parametrize(
    "words",
    [
        "✘ fail     stall                9.31 s      1 s      898  stall{phase=migrate} <= 1s",
        "? unclear  recovery",
        "– n/a      catalog",
        "migrate       11.2 s       898      31.2/s   2.1 %   3.58 s   8.94 s",
        "d52e1b8cf3ea   35.2 s  4.43 s   4.43 s  UPDATE documents SET title_search",
        "Ledger      1,204 acknowledged writes",
        "Isolation   3,410 reads checked",
        "WebSocket   30 connections",
        "Report      runs/latest/report.html",
    ],
)
def test_the_summary_has_every_part(words: str) -> None:
    assert words in printed(sample.red())


@pytest.mark.parametrize("view", [sample.red(), sample.green(), hostile()], ids=["red", "green", "hostile"])
def test_the_summary_fits_a_hundred_columns(view: View) -> None:
    assert max(map(len, printed(view).splitlines())) <= 100


def test_without_colour_there_is_no_escape_sequence_even_from_hostile_texts() -> None:
    assert "\x1b" not in printed(hostile())
    assert "\x1b[31m" in printed(sample.red(), colour=True) or "\x1b[1;31m" in printed(
        sample.red(), colour=True
    )


def test_foreign_texts_are_not_read_as_markup() -> None:
    title, sentence = printed(hostile(), width=4000).strip().splitlines()[:2]
    assert "[red]r[/red]" in title
    assert "[red]r[/red]" in sentence


def test_the_live_line_says_where_the_run_is() -> None:
    line = terminal.progress_line("migrate", 41.2, 78, 30, 79.6, 1.84, 3, "c41f0a7be2d9: ALTER TABLE")
    assert line == (
        "migrate            41/78 s  30 users  79.6/s  p95  1.84 s  3 errors  c41f0a7be2d9: ALTER TABLE"
    )


@pytest.mark.parametrize("phase", ["warmup", "rollback_recover", "x" * 200])
@pytest.mark.parametrize("migration", ["", "UPDATE\n\x1b[2J " + "y" * 300])
def test_the_live_line_is_one_short_line(phase: str, migration: str) -> None:
    line = terminal.progress_line(phase, 123456, None, 100_000, 123456.7, None, 1_000_000, migration)
    assert len(line) <= terminal.PROGRESS_WIDTH
    assert not set("\n\x1b") & set(line)
