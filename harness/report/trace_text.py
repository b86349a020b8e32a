"""What a migration's statements did, for the terminal of the person who writes it: no load, no verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.report.advice import Advice, advised
from harness.report.facts import migration_facts
from harness.report.statements import Span, spans
from harness.report.terminal import pair, print_code
from harness.report.words import count, seconds, shorten, size

__all__ = ["render_trace"]

Json = Mapping[str, Any]

_FROM_NOTHING = (
    "\nThe database was empty. On tables that the upgrade made itself there is no advice: to have it on the "
    "newest revision,\nbring the database to the one before by --prepare, best with rows in its tables."
)
_STYLES = {"all": "bold red", "writes": "yellow", "none": "green", "unknown": "dim"}


def render_trace(migration: Json, console: Console, advice: Sequence[Json] | None = None) -> None:
    """Print each statement of the `migration` object of `verdict.json` with what it locked, blocked, rewrote
    and read. `advice` are the rules that fired, as in `verdict.json`; by default the migration's own key
    `findings`. Ignored ones are named, their safe form is not printed.
    """
    found = advised(migration.get("findings") or () if advice is None else advice, [migration])
    executed = spans(migration.get("statements") or (), until=0.0)
    console.print(Text(_summary(migration)))
    revision = None
    for span in executed:
        console.print(Text("" if span.revision == revision else f"\nRevision {span.revision}", "bold"))
        revision = span.revision
        pair(console, f"{span.number or '–':>4}", shorten(span.sql, 400), "bold")
        for name, text, style in _lines(span):
            pair(console, f"  {name}", text, style)
        for one in (a for a in found if a.number == str(span.number)):
            _print_advice(one, console)
    if not executed:
        console.print(Text("No statement of a revision was traced."))
    elif not migration.get("from"):
        console.print(Text(_FROM_NOTHING, "dim"))


def _summary(migration: Json) -> str:
    facts = {fact.title: fact.text for fact in migration_facts(migration)}
    return f"{facts['Revisions']}: {facts['Result']}"


def _lines(span: Span) -> Iterator[tuple[str, str, str]]:
    took = "no end seen" if span.duration is None else seconds(span.duration)
    times = f" in {count(span.executions)} executions" if span.executions > 1 else ""
    tracer = "" if span.tracer_s is None else f", and the tracer {seconds(span.tracer_s)} after it"
    yield "took", f"{took}{times}{tracer}", ""
    if span.error:
        yield "failed", span.error, "bold red"
    for lock in span.locks:
        yield "locks", lock, _STYLES[span.effect]
    if not span.locks and span.effect != "unknown":
        yield "locks", "none but on what its transaction made or held already", ""
    for block in span.blocks:
        yield "blocks", block, _STYLES[span.effect]
    for work in span.work:
        yield "", work, ""
    if span.rows is not None:
        yield "rows", count(span.rows), ""
    if span.wal_bytes is not None:
        yield "WAL", size(span.wal_bytes), ""
    if span.timeouts:
        yield "timeouts", ", ".join(span.timeouts), ""


def _print_advice(advice: Advice, console: Console) -> None:
    ignored = f" (ignored: {advice.reason or 'no reason given'})" if advice.severity == "ignored" else ""
    style = "bold yellow" if advice.severity == "finding" else "dim"
    title = "  note" if advice.severity == "note" else "  advice"
    pair(console, title, f"{advice.rule}{ignored}: {advice.consequence or advice.condition}", style)
    if advice.safe and not ignored:
        print_code(console, advice.safe)
