"""A run in which every foreign text is an attack."""

from __future__ import annotations

from typing import Any

from harness.core.plan import Plan
from harness.report.view import View, build
from tests.unit.report import sample

HOSTILE = (
    "</script><script>alert(1)</script><!--<script> <img src=x onerror=alert(2)> \"'><b>&amp;"
    " {{ 7*7 }} | `x` \u2028 \x1b[31m \x00 \ud800 [l](http://evil.example) @octocat *b* [red]r[/red] $x$"
)


def hostile() -> View:
    """The red run with every text replaced."""
    verdict = _replaced(sample.red_verdict())
    verdict.update(status="fail", exit_code=1, complete=False)
    for gate, real in zip(verdict["gates"], sample.red_verdict()["gates"], strict=True):
        gate.update(status=real["status"], unit=real["unit"])
    plan = Plan(upgrade=HOSTILE, downgrade=HOSTILE, host="http://127.0.0.1:1/" + HOSTILE)
    return build(verdict, sample.red_series(), sample.red_timeline(), plan, {HOSTILE: HOSTILE})


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        return {key: _replaced(item) for key, item in value.items()}
    return [_replaced(item) for item in value] if isinstance(value, list) else value
