"""The report as JUnit XML: one test suite, a test case per gate and per drill.

A failed gate is a failure, an inconclusive one an error (nothing was proved), one that does not apply is
skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.report.drills import Drill
from harness.report.gates import Gate
from harness.report.view import View

__all__ = ["render"]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold in any form: https://www.w3.org/TR/xml/#charsets."""

_BLAMED = {"lock_wait", "deadlocks", "stall", "latency", "blocked"}
"""Gates whose failure tells the statement that is blamed."""

_RESULTS = {"fail": Failure, "inconclusive": Error, "not_applicable": Skipped}


def render(view: View) -> str:
    """The XML document."""
    suite = TestSuite("migrate-under-load")
    for name, value in _properties(view):
        suite.add_property(name, _xml(value))
    suite.add_testcases([_case(gate, view) for gate in view.gates])
    suite.add_testcases([_drill(drill) for drill in view.drills])
    document = JUnitXml("migrate-under-load")
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    xml = document.tostring().decode()  # type: ignore[no-untyped-call]
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}\n'


def _properties(view: View) -> list[tuple[str, str]]:
    revisions = [revision for migration in view.migrations for revision in migration.revisions]
    return [
        ("run_id", view.run_id),
        ("status", view.headline.status),
        ("verdict", view.headline.sentence),
        *_numbered("revision", revisions),
        *_numbered("blame", [blame.line for blame in view.blame]),
        *_numbered("advice", [f"{a.rule}, {a.sentence}" for a in view.advice_of("finding")]),
        *_numbered("schema", [found.sentence for found in view.schema]),
        *_numbered("errors", [error.sentence for error in view.errors]),
    ]


def _numbered(name: str, values: Iterable[str]) -> list[tuple[str, str]]:
    return [(f"{name}.{number}", value) for number, value in enumerate(values, 1)]


def _case(gate: Gate, view: View) -> TestCase:
    case = TestCase(_xml(f"{gate.name}: {gate.expression}"), classname="migrate-under-load", time=0)
    result = _RESULTS.get(gate.status)
    if result is not None:
        outcome = result(_xml(_message(gate)), gate.status)
        if gate.status == "fail" and gate.name in _BLAMED:
            outcome.text = _xml(_blame(view))
        case.result = [outcome]
    return case


def _drill(drill: Drill) -> TestCase:
    """Like a gate that is red for grade D; its matrix is the failure's text."""
    case = TestCase(_xml(f"drill: {drill.name}"), classname="migrate-under-load", time=0)
    result = _RESULTS.get(drill.status)
    if result is not None:
        outcome = result(_xml(drill.sentence), drill.status)
        rows = (f"{c.grade} {c.revision} {c.place}: left {c.left}; {c.after}" for c in drill.cells)
        outcome.text = _xml("\n".join(rows))
        case.result = [outcome]
    return case


def _blame(view: View) -> str:
    """The worst statement, who was at the root, and the safe form."""
    worst = view.culprit
    if worst is None:
        return ""
    safe = f"Safe form:\n\n{worst.safe}" if worst.safe else ""
    return "\n".join(part for part in (worst.line, worst.root, safe) if part)


def _message(gate: Gate) -> str:
    sure = f" ({gate.sure})" if gate.sure else ""
    return f"observed {gate.observed}{sure}, limit {gate.limit}, samples {gate.samples}. {gate.why}".rstrip()


def _xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
