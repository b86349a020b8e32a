"""Invariants: queries that must return no row once the migration is done, such as a derived column that does
not follow what it is derived from.

Each is asked before the load, where it must hold already unless it needs what only the migration makes; after
the upgrade of a run that rolls back; and when the load is over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.core.counted import counted
from harness.core.events import Event, Kind
from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive
from harness.core.plan import Plan
from harness.core.secrets import is_secret
from harness.core.verdict import GateResult, safe_text
from harness.errors import UsageError

__all__ = ["Answer", "When", "answers", "invariant_gates", "invariants_json", "named_invariants"]

Json = dict[str, Any]

_NAME = re.compile(r"[A-Za-z_][\w-]{0,39}")


class When:
    """The instants at which every invariant is asked."""

    BEFORE = "before"
    UPGRADED = "upgraded"
    END = "end"


@dataclass(frozen=True)
class Answer:
    """What a query returned: `rows` is None where it was not answered, and then `error` says why; `missing`
    is whether that is because something it names is not there. `examples` are some of the rows, as JSON.
    """

    rows: int | None
    examples: tuple[str, ...] = ()
    error: str = ""
    missing: bool = False


def named_invariants(plan: Plan) -> Mapping[str, str]:
    """The plan's queries by their names. Raises UsageError for what is not `NAME: SELECT …`."""
    found: dict[str, str] = {}
    for text in plan.invariants:
        name, colon, query = (part.strip() for part in text.partition(":"))
        if (
            not colon
            or not _NAME.fullmatch(name)
            or not re.match(r"(select|with|table|values)\b", query, re.IGNORECASE)
        ):
            raise UsageError(
                f"--invariant {text!r} is not a name and a query.",
                "Write --invariant 'NAME: SELECT …', for instance"
                " --invariant 'slugs: SELECT id FROM posts WHERE slug <> slugify(title)'.",
            )
        if name in found:
            raise UsageError(f"Two invariants are called {name!r}.", "Give them different names.")
        if is_secret(query):
            raise UsageError(
                f"--invariant {name} holds a secret, which its reports would show.", "Take it out."
            )
        found[name] = query.rstrip("; \n")
    return found


def answers(events: Iterable[Event]) -> dict[str, dict[str, Answer]]:
    """What was answered, by invariant and instant."""
    found: dict[str, dict[str, Answer]] = {}
    for event in events:
        if event.kind == Kind.INVARIANT:
            told = event.data
            found.setdefault(str(told["name"]), {})[str(told["when"])] = Answer(
                told["rows"], tuple(told["examples"]), str(told["error"]), bool(told["missing"])
            )
    return found


def invariant_gates(plan: Plan) -> Iterator[Gate]:
    """A gate for each."""
    for name in named_invariants(plan):
        back = " and after its rollback" if plan.rolls_back else ""
        words = f"{name} returns no row after the upgrade{back}"
        yield Gate(f"invariant:{name}", words, "catalog", partial(_judge, name))


def _judge(name: str, facts: Facts) -> GateResult:
    told = answers(facts.record.events).get(name, {})
    asked = [when for when in (When.UPGRADED, When.END) if when in told]
    broken = {when: told[when].rows or 0 for when in asked if told[when].rows}
    if broken:
        when, rows = max(broken.items(), key=lambda item: item[1])
        examples = f", such as {', '.join(told[when].examples)}" if told[when].examples else ""
        why = f"{counted(rows, 'row')} {_words(when, facts)}{examples}"
        return GateResult("", "", "fail", float(rows), 0.0, "count", len(asked), why)
    if any(migration.status not in ("ok", "nothing") for migration in facts.in_phase("migrate")):
        return inconclusive("the upgrade did not end ok")
    if why := _unanswered(told, facts):
        return inconclusive(why)
    return GateResult("", "", "pass", 0.0, 0.0, "count", len(asked))


def _unanswered(told: Mapping[str, Answer], facts: Facts) -> str:
    """Why nothing can be said, "" when it can. What the rollback took away again need not answer."""
    back = facts.record.plan.rolls_back
    for when in (When.UPGRADED, When.END) if back else (When.END,):
        if when not in told:
            return f"it was not asked {_words(when, facts)}"
        was_missing = told.get(When.BEFORE, Answer(None)).missing
        if told[when].error and not (back and when == When.END and told[when].missing and was_missing):
            return f"it was not answered {_words(when, facts)}: {safe_text(told[when].error)}"
    return ""


def _words(when: str, facts: Facts) -> str:
    if when == When.UPGRADED:
        return "after the upgrade"
    return "after the rollback" if facts.in_phase("rollback") else "at the end"


def invariants_json(facts: Facts) -> list[Json]:
    """`invariants` of `verdict.json`: each query and its answers."""
    told = answers(facts.record.events)
    return [
        {
            "name": name,
            "sql": query,
            "answers": [
                {
                    "when": when,
                    "rows": answer.rows,
                    "examples": list(answer.examples),
                    "error": safe_text(answer.error),
                }
                for when, answer in told.get(name, {}).items()
            ],
        }
        for name, query in named_invariants(facts.record.plan).items()
    ]
