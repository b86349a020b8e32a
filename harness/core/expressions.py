"""Gate expressions, as people write them in `--gate` and as the built-in gates are written:

[NAME:] METRIC[{label=value,…}] OP (VALUE | FACTOR * METRIC{…} [+ VALUE]) [for DURATION]

slow_list: p95{phase=migrate,name="GET /documents"} < 800ms
latency:   p95{phase=migrate} < 3 * p95{phase=baseline} + 50ms
error_ratio{phase=migrate} < 1% for 2s
p95{phase=migrate} < 1.1 * p95{run=baseline,phase=migrate}
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.core.durations import parse_duration
from harness.core.events import PHASES
from harness.core.metrics import METRICS, OF_A_MIGRATION, Selector
from harness.errors import UsageError

__all__ = ["GRAMMAR", "LABELS", "OPERATORS", "Expression", "parse"]

GRAMMAR = "[NAME:] METRIC[{label=value,…}] OP (VALUE | FACTOR * METRIC{…} [+ VALUE]) [for DURATION]"

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}

LABELS = ("phase", "name", "run")
RUNS = ("baseline",)

_NUMBER = r"\d+(?:\.\d+)?"
_VALUE = rf"{_NUMBER}\s*[A-Za-z%/µ]*"
_SELECTOR = r'[A-Za-z_]\w*(?:\s*\{(?:[^{}"]|"[^"]*")*\})?'
_GATE = re.compile(
    rf"""\s*(?:(?P<name>[A-Za-z_][\w.-]*)\s*:)?\s*
    (?P<left>{_SELECTOR})\s*
    (?P<op><=|>=|==|<|>)\s*
    (?:(?P<factor>{_NUMBER})\s*\*\s*(?P<right>{_SELECTOR})(?:\s*\+\s*(?P<plus>{_VALUE}))?
      |(?P<value>{_VALUE}))
    (?:\s+for\s+(?P<hold>\S.*?))?\s*""",
    re.VERBOSE,
)
_LABEL = re.compile(r'\s*(?P<label>\w+)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^,"]*?))\s*(?:,|$)')
_UNITS: dict[str, dict[str, float]] = {
    "s": {"ms": 0.001, "s": 1.0, "min": 60.0},
    "ratio": {"%": 0.01, "": 1.0},
    "/s": {"/s": 1.0, "": 1.0},
    "count": {"": 1.0},
}
"""For the unit of a metric: the units its limit may be written in, and what they are worth."""


@dataclass(frozen=True)
class Expression:
    """`left op value`, or `left op factor * right + plus`; values in the unit of the left metric.

    `hold_s`: red only if false in every 1 s slice over so many consecutive seconds; None: over the whole
    window.
    """

    text: str
    left: Selector
    op: str
    value: float = 0.0
    factor: float = 0.0
    right: Selector | None = None
    hold_s: float | None = None

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The metrics it asks for."""
        return (self.left,) if self.right is None else (self.left, self.right)

    @property
    def unit(self) -> str:
        """The unit of what is observed and of the limit."""
        return METRICS[self.left.metric].unit


def parse(text: str) -> tuple[str | None, Expression]:
    """The gate's own name, if it has one, and its expression; raises UsageError naming what is known."""
    found = _GATE.fullmatch(text)
    if found is None:
        raise UsageError(f"--gate {text!r} is not a gate expression.", f"Write {GRAMMAR}.")
    left = _selector(text, found["left"])
    right = _selector(text, found["right"]) if found["right"] else None
    _same_unit(text, left, right)
    limit = found["value"] or found["plus"]
    printed = text.partition(":")[2] if found["name"] else text
    return found["name"], Expression(
        text=" ".join(printed.split()),
        left=left,
        op=found["op"],
        value=_value(text, limit, left) if limit else 0.0,
        factor=float(found["factor"] or 0.0),
        right=right,
        hold_s=_hold(text, found["hold"], left, found["op"]),
    )


def _selector(text: str, selector: str) -> Selector:
    metric, _, rest = selector.partition("{")
    metric = metric.strip()
    if metric not in METRICS:
        raise UsageError(f"--gate {text!r}: there is no metric {metric!r}.", _known("metrics", METRICS))
    labels = _labels(text, rest.rstrip().removesuffix("}")) if rest else {}
    if METRICS[metric].phase is None and set(labels) - {"run"}:
        raise UsageError(
            f"--gate {text!r}: {metric} is of the whole run.", f"Write {metric} without phase and name."
        )
    if METRICS[metric].needs in OF_A_MIGRATION and "name" in labels:
        raise UsageError(f"--gate {text!r}: {metric} is of no endpoint.", "Leave the label name out.")
    phase = _phase(text, labels.get("phase"))
    if METRICS[metric].needs in OF_A_MIGRATION and phase not in (None, "migrate", "rollback"):
        raise UsageError(
            f"--gate {text!r}: nothing migrates in phase {phase}.", "Write phase=migrate or phase=rollback."
        )
    return Selector(metric, phase, labels.get("name"), _run(text, labels.get("run")))


def _labels(text: str, inside: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    position = 0
    while inside[position:].strip():
        found = _LABEL.match(inside, position)
        if found is None:
            raise UsageError(
                f"--gate {text!r}: {inside[position:].strip()!r} is not a label.",
                'Write label=value or label="value".',
            )
        label = _label(text, found["label"])
        if label in labels:
            raise UsageError(f"--gate {text!r}: the label {label} is given twice.", "Give it once.")
        labels[label] = found["bare"] if found["quoted"] is None else found["quoted"]
        position = found.end()
    return labels


def _label(text: str, label: str) -> str:
    if label not in LABELS:
        raise UsageError(f"--gate {text!r}: there is no label {label!r}.", _known("labels", LABELS))
    return label


def _run(text: str, run: str | None) -> str | None:
    if run is not None and run not in RUNS:
        raise UsageError(f"--gate {text!r}: there is no run {run!r}.", _known("runs", RUNS))
    return run


def _phase(text: str, phase: str | None) -> str | None:
    if phase is not None and phase not in PHASES:
        raise UsageError(f"--gate {text!r}: there is no phase {phase!r}.", _known("phases", PHASES))
    return phase


def _same_unit(text: str, left: Selector, right: Selector | None) -> None:
    if right is None:
        return
    units = METRICS[left.metric].unit, METRICS[right.metric].unit
    if units[0] != units[1]:
        raise UsageError(
            f"--gate {text!r}: {left.metric} is measured in {units[0]}, {right.metric} in {units[1]}.",
            "Compare metrics of the same unit.",
        )


def _value(text: str, value: str, left: Selector) -> float:
    number, unit = re.fullmatch(rf"({_NUMBER})\s*(.*)", value.strip()).groups()  # type: ignore[union-attr]
    units = _UNITS[METRICS[left.metric].unit]
    if unit not in units:
        known = ", ".join(name or "none" for name in units)
        wrong = f"the unit {unit!r} is none of its own" if unit else "the limit has no unit"
        raise UsageError(f"--gate {text!r}: {wrong}.", f"Units of {left.metric}: {known}.")
    return float(number) * units[unit]


def _hold(text: str, hold: str | None, left: Selector, op: str) -> float | None:
    if hold is None:
        return None
    if not METRICS[left.metric].sliceable or op == "==":
        what = f"with {op}" if op == "==" else f"for {left.metric}"
        raise UsageError(f"--gate {text!r}: `for` has no meaning {what}.", "Leave it out.")
    seconds = parse_duration(hold, "--gate … for")
    if seconds < 1:
        raise UsageError(f"--gate {text!r}: `for {hold}` is shorter than a slice.", "Give at least 1s.")
    return seconds


def _known(what: str, names: Iterable[str]) -> str:
    return f"Known {what}: {', '.join(names)}."
