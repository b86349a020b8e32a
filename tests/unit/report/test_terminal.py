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


@pytest.fixture(scope="module")
def red() -> str:
    """The summary of the red run."""
    return printed(sample.red())


def test_a_red_run_says_why_in_its_first_lines(red: str) -> None:
    lines = red.strip().splitlines()
    assert lines[0].startswith("✘ FAIL  Upgrade to unsafe@head")
    assert "throughput is 31.2/s, the limit is 75.5/s." in lines[1]


@pytest.mark.parametrize(
    "words",
    [
        "✘ fail     stall                9.31 s      1 s      898  stall{phase=migrate} <= 1s",
        "95 % confidence: 8.71 s to 9.02 s",
        "? unclear  recovery",
        "– n/a      catalog",
        "migrate       11.2 s      31.2/s   2.1 %   3.58 s   8.94 s",
        "d52e1b8cf3ea   35.2 s  4.43 s   4.43 s  UPDATE documents SET title_search",
        "Ledger      1,204 acknowledged writes",
        "Isolation   3,410 answers checked",
        "WebSocket   30 connections",
        "Waits       212 waits of 24 sessions, 146 session-seconds in all, the longest 9.17 s.",
        "Blamed      Statement 1 of revision c41f0a7be2d9: ALTER TABLE documents ADD COLUMN public_id UUID",
        "\n    # then backfill in batches, each its own transaction\n",
        "Why: harness explain add-column-volatile-default",
        "Advice      index-without-concurrently, statement 3: Every request",
        "            1 note, 1 ignored finding in the report.",
        "Schema      invalid index ix_documents_slug: new, and INVALID",
        "Errors      7 × cached plan must not change result type (SQLSTATE 0A000)",
        "Predicted   squawk: 1 confirmed, 1 not seen under this load, 1 only measured.",
        "Report      runs/latest/report.html",
    ],
)
def test_the_summary_has_every_part(words: str, red: str) -> None:
    assert words in red


def test_eighty_columns_show_every_phase_by_name_and_its_numbers_whole() -> None:
    text = printed(sample.red(), width=80)
    assert "\nmigrate       11.2 s      31.2/s   2.1 %   8.94 s   13.4 s  9.31 s" in text


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (80, "Phase Duration Throughput Errors p95 Max Stall"),
        (100, "Phase Duration Throughput Errors p50 p95 p99 Max Stall"),
        (110, "Phase Duration Rate Throughput Errors p50 p95 p99 Max Lag p99 Stall"),
    ],
)
def test_a_phase_has_the_columns_that_there_is_room_for(width: int, titles: str) -> None:
    verdict = sample.red_verdict()
    widest = {"lag_p99": 0.00745, "p50": 0.00745, "name": "migrate statements", "rate": 80.3}
    verdict["phases"] = [{**phase, **widest} for phase in verdict["phases"]]
    lines = printed(sample.view_of(verdict), width=width).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("Phase "))
    assert " ".join(lines[at].split()) == titles
    assert lines[at + 1].startswith("migrate statements ")
    assert ("7.45 ms" in lines[at + 1], "80.3/s" in lines[at + 1]) == (width >= 100, width >= 110)


def test_the_worst_statement_and_its_safe_form_are_in_the_last_lines() -> None:
    text = printed(sample.red())
    places = [text.index(f"\n{word}") for word in ("Limit", "Blamed", "Advice", "Report")]
    assert places == sorted(places)
    assert "Safe form:" in text[places[1] : places[2]]
    assert text[places[1] :].count("\n") < 40


def test_a_long_safe_form_is_cut() -> None:
    verdict = sample.red_verdict()
    verdict["blame"][0]["advice"] = "\n".join(f"line {n}" for n in range(40))
    text = printed(sample.view_of(verdict))
    assert "line 15\n" in text
    assert "line 16" not in text


@pytest.mark.parametrize("view", [sample.red(), sample.green(), hostile()], ids=["red", "green", "hostile"])
def test_the_summary_fits_a_hundred_columns(view: View) -> None:
    code = {f"    {line}" for blame in view.blame for line in blame.safe.splitlines()}
    assert max(len(line) for line in printed(view).splitlines() if line not in code) <= 100


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


def test_a_run_that_passed_blames_nobody_but_says_who_waited() -> None:
    blame = sample.red_verdict()["blame"]
    text = printed(sample.view_of(sample.green_verdict() | {"blame": blame}))
    assert "Blamed" not in text
    assert "Safe form" not in text
    assert "Waited for" in text


def test_the_web_page_has_the_progress_in_words() -> None:
    rows = terminal.progress_rows(
        "migrate", 23.613156, 33.0, 30, 77.87706, 0.0104966, 0, "safe2 #3: UPDATE t"
    )
    assert rows["elapsed"] == "24 s of about 33 s"
    assert (rows["requests"], rows["p95 latency"]) == ("77.9/s", "10.5 ms")
    assert rows["migration"] == "safe2 #3: UPDATE t"
    assert terminal.progress_rows("warmup", 1.0, None, 0, 0.0, None, 0)["p95 latency"] == "–"


def test_who_is_no_gates_cause_is_not_blamed() -> None:
    verdict = sample.red_verdict()
    verdict["gates"][2]["why"] = "no wait in the database explains it (the longest was 29 ms)"
    view = sample.view_of(verdict)
    text = printed(view)
    assert "Blamed" not in text
    assert "Waited for" in text


def test_several_migrations_have_a_line_each_and_their_names_at_the_statements() -> None:
    text = printed(sample.several(), width=130)
    assert "Migration   shop: 0001 → 0002 in 1 s, reached its target." in text
    assert "billing: 0002" in text
    assert "migrate billing" in text
    assert "in billing (ALTER TABLE documents" in " ".join(text.split())
