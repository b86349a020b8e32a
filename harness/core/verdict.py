"""The verdict: the worst of all gates, the exit code, and the JSON that release pipelines read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from harness.core.measured import Interval
from harness.core.secrets import mask

__all__ = [
    "FINAL",
    "SCHEMA",
    "ExitCode",
    "GateResult",
    "Verdict",
    "exit_code",
    "rounded",
    "safe_text",
    "without_paths",
    "worst",
]

SCHEMA = 1
"""Version of `verdict.json`; consumers ignore keys they do not know."""

FINAL = ("pass", "inconclusive", "fail")
"""Statuses a verdict can have, from the best to the worst."""

INTERRUPTIONS = ("SIGINT", "SIGTERM", "stopped in the web page")
"""Causes of a STOP event by which a person, or the machine on their behalf, ended the run."""

_DIGITS = 6
_ABSOLUTE = re.compile(
    r"(?<![\w/.\\])(?<!GET )(?<!PUT )(?<!POST )(?<!PATCH )(?<!DELETE )(?<!WebSocket )"
    r"(?:/[^\s/'\":,]+)+/([^\s/'\":,]+)"
)
"""What looks like a path and is not the path of a request."""


class ExitCode(IntEnum):
    """What the process ends with."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    REFUSED = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130


@dataclass(frozen=True)
class GateResult:
    """One gate's outcome. `observed` and `limit` are in `unit` (s, ratio, /s, count); None is unknown.

    `status`: pass | fail | inconclusive | not_applicable. `confidence` encloses, with 95 %, the quantile that
    was observed; None for what is no quantile.
    """

    name: str
    expression: str
    status: str
    observed: float | None = None
    limit: float | None = None
    unit: str | None = None
    samples: int | None = None
    why: str = ""
    confidence: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        """One entry of `gates[]`."""
        return {
            "name": self.name,
            "expression": self.expression,
            "status": self.status,
            "observed": rounded(self.observed),
            "confidence": self.confidence and [rounded(bound) for bound in self.confidence],
            "limit": rounded(self.limit),
            "unit": self.unit,
            "samples": self.samples,
            "why": self.why,
        }


@dataclass(frozen=True)
class Verdict:
    """The judgement of one run; `details` are the other keys of `verdict.json`."""

    run_id: str | None
    status: str
    exit_code: int
    complete: bool
    interrupted_in: str | None
    gates: tuple[GateResult, ...]
    limits: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """`verdict.json`, valid against `harness/verdict.schema.json`."""
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "status": self.status,
            "exit_code": self.exit_code,
            "complete": self.complete,
            "interrupted_in": self.interrupted_in,
            "gates": [gate.as_json() for gate in self.gates],
            "limits": list(self.limits),
            **self.details,
        }


def worst(gates: Iterable[GateResult], complete: bool) -> str:
    """The worst status of the applicable gates. Nothing judged, or a run cut short, is no pass."""
    statuses = [gate.status for gate in gates if gate.status != "not_applicable"]
    if not complete or not statuses:
        statuses.append("inconclusive")
    return max(statuses, key=FINAL.index)


def exit_code(status: str, cause: str | None, refused: bool = False) -> ExitCode:
    """The exit code of a judged run: `cause` is that of its STOP event, `refused` says a guard stopped its
    migration.
    """
    if refused:
        return ExitCode.REFUSED
    if cause in INTERRUPTIONS:
        return ExitCode.INTERRUPTED
    return {"pass": ExitCode.PASS, "fail": ExitCode.FAIL}.get(status, ExitCode.INCONCLUSIVE)


def rounded(value: float | None) -> float | None:
    """A number as `verdict.json` has it: to a microsecond; None for what is no number."""
    if value is None or value != value or abs(value) == float("inf"):
        return None
    return round(float(value), _DIGITS)


def safe_text(text: str) -> str:
    """What a program said, as `verdict.json` has it: credentials masked, absolute paths cut.

    >>> safe_text("/srv/shop/env.py: postgresql://app:s3cr3t@db/shop refused")
    '…/env.py: postgresql://app:***@db/shop refused'
    >>> safe_text("GET /documents/{id}: HTTP 500 (/srv/shop/app.py)")
    'GET /documents/{id}: HTTP 500 (…/app.py)'
    """
    return _without_paths(mask(text))


def _without_paths(text: str) -> str:
    return _ABSOLUTE.sub(r"…/\1", text)


def without_paths(value: Any) -> Any:
    """The value with every absolute path in its texts cut down to its last part.

    >>> without_paths(["alembic", "-c", "/srv/shop/alembic.ini"])
    ['alembic', '-c', '…/alembic.ini']
    """
    if isinstance(value, str):
        return _without_paths(value)
    if isinstance(value, Mapping):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    return value
