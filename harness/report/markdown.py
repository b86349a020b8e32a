"""The report as GitHub-flavoured Markdown, for the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness.report.evidence import claims_sentence
from harness.report.measures import PHASE_COLUMNS, Measure
from harness.report.view import View
from harness.report.words import plural

__all__ = ["escaped", "render", "table"]

_SPECIAL = re.compile(r"[\\`*_\[\]#!|~$@]|:(?=\S)|(?<=[wW]{3})\.|^[-+=]")
_FINDINGS = 5
_NOT_PLAIN = re.compile(r"[^a-zA-Z0-9 ,.=%/;(){}'\"…+-]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(view: View) -> str:
    """The summary: verdict, gates, what it cost whom, and the slowest statements."""
    return "\n".join(_lines(view)).rstrip() + "\n"


def _lines(view: View) -> Iterator[str]:
    head = view.headline
    yield f"## {head.mark} {head.word}: {escaped(view.title)}"
    yield ""
    yield escaped(head.sentence)
    yield ""
    yield from _blame(view)
    yield from table(
        ("Status", "Gate", "Expression", "Observed", "95 % confidence", "Limit", "Samples", "Why"),
        "lll rrrr l",
        (
            (
                f"{g.mark} {g.word}",
                g.name,
                _code(g.expression),
                g.observed,
                g.confidence,
                g.limit,
                g.samples,
                g.why,
            )
            for g in view.gates
        ),
        raw=(2,),
    )
    yield from _section("Phases", _phases(view.phases))
    yield from _section("Slowest statements", _statements(view))
    yield from _section("Drills", list(_drills(view)))
    yield from _section("Advice", list(_advice(view)))
    yield from _section("Schema and errors", list(_evidence(view)))
    yield from _section("What happened", list(_facts(view)))
    yield f"Run {_code(view.run_id)}, exit code {head.exit_code}."


def _blame(view: View) -> Iterator[str]:
    """The worst statement with its safe form, and the others that are blamed in a line each."""
    for number, blame in enumerate(view.blame[:_FINDINGS]):
        yield f"**{escaped(blame.statement)}**: {escaped(blame.sentence)} {escaped(blame.root)}".rstrip()
        yield ""
        if not number and blame.safe:
            yield "Safe form:"
            yield ""
            yield _block(blame.safe)
            yield ""
        if not number and blame.rule:
            yield f"Why: {_code(f'harness explain {blame.rule}')}"
            yield ""


def _drills(view: View) -> Iterator[str]:
    for drill in view.drills:
        yield f"- {drill.mark} **{escaped(drill.name)}**: {escaped(drill.sentence)}"
    for drill in view.drills:
        if drill.cells:
            yield ""
            yield from table(
                ("Grade", "Revision", "Killed", "Left by it", "After the re-run"),
                "lllll",
                ((c.grade, c.revision, f"{c.place} {c.sql}".rstrip(), c.left, c.after) for c in drill.cells),
            )


def _advice(view: View) -> Iterator[str]:
    found = view.advice_of("finding")
    for advice in found[:_FINDINGS]:
        yield f"- **{escaped(advice.rule)}**, {escaped(advice.sentence)}"
    if len(found) > _FINDINGS:
        yield f"- {plural(len(found) - _FINDINGS, 'more finding')} in the report"
    for severity, what in (("note", "note"), ("ignored", "ignored finding")):
        if view.advice_of(severity):
            yield f"- {plural(len(view.advice_of(severity)), what)} in the report"


def _evidence(view: View) -> Iterator[str]:
    for schema in view.schema[:_FINDINGS]:
        yield f"- {'**Red:** ' if schema.red else ''}{escaped(schema.sentence)}"
    for error in view.errors[:_FINDINGS]:
        yield f"- {escaped(error.sentence)}"
    if view.claims:
        yield f"- Predicted by {escaped(view.claims[0].tool)}: {escaped(claims_sentence(view.claims))}"


def _facts(view: View) -> Iterator[str]:
    for fact in (*view.findings[:_FINDINGS], *view.facts):
        yield f"- **{escaped(fact.title)}**: {escaped(fact.text)}"
    for limit in view.limits:
        yield f"- Limit: {escaped(limit)}"


def _phases(phases: Sequence[Measure]) -> list[str]:
    rows = ([str(getattr(phase, name)) for name in PHASE_COLUMNS.values()] for phase in phases)
    return list(table(tuple(PHASE_COLUMNS), "l" + "r" * (len(PHASE_COLUMNS) - 1), rows)) if phases else []


def _statements(view: View) -> list[str]:
    rows = (
        (s.place, f"{_code(s.short)} {s.times}".rstrip(), s.started, s.duration, s.longest, s.error)
        for s in view.slowest()
    )
    titles = ("Revision", "Statement", "Started", "Duration", "Longest", "Error")
    return list(table(titles, "ll rrr l", rows, raw=(1,))) if view.statements else []


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"### {title}"
        yield ""
        yield from lines
        if lines[-1]:
            yield ""


def table(
    titles: Sequence[str], align: str, rows: Iterable[Sequence[str]], raw: Sequence[int] = ()
) -> Iterator[str]:
    """A table; `align` has a letter per column, `raw` are the columns that are Markdown already."""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'|'.join('---:' if letter == 'r' else '---' for letter in align.replace(' ', ''))}|"
    for row in rows:
        yield f"| {' | '.join(c if n in raw else escaped(c) for n, c in enumerate(row))} |"
    yield ""


def escaped(text: str) -> str:
    """Foreign text on one line, with everything escaped that Markdown, a table or HTML would act on.

    An `@` is written as an entity: a backslash does not keep GitHub from notifying the person of that name.
    """
    line = " ".join(text.split())
    line = re.sub(r"[&<>]", lambda match: _ENTITIES[match[0]], line)
    return _SPECIAL.sub(lambda match: "&#64;" if match[0] == "@" else f"\\{match[0]}", line)


def _code(text: str) -> str:
    """Foreign text as HTML code: unlike a code span it can hold backticks and pipes, as entities."""
    return f"<code>{_entities(' '.join(text.split()))}</code>"


def _block(text: str) -> str:
    """Foreign code as HTML: no sign in it ends the block, as every one but letters is an entity."""
    code = "\n".join(_entities(line) for line in text.splitlines())
    return f"<pre><code>{code}</code></pre>"


def _entities(line: str) -> str:
    return _NOT_PLAIN.sub(lambda match: f"&#{ord(match[0])};", line)
