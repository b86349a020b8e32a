"""Advice: what a measured statement did that hurts, or would, and how to write it safely.

A rule fires on what was measured; a text only says what the statement is and gives names. The rules stand in
`harness/core/rules_*.py`, by theme.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.core import (
    rules_columns,
    rules_constraints,
    rules_data,
    rules_indexes,
    rules_objects,
    rules_sessions,
    rules_tables,
    rules_transactions,
    rules_types,
)
from harness.core.names import last_part, quoted
from harness.core.rule import LONG_HOLD_S, Case, Match, Past, Rule, Traced
from harness.core.safe_forms import execute
from harness.core.schema_state import IndexState, TableState
from harness.core.secrets import mask
from harness.core.shape import Action
from harness.errors import UsageError

__all__ = ["RULES", "Advice", "Rule", "Traced", "advise", "explain_rules", "rules_table"]

_SPECIFIC = (
    *rules_columns.RULES,
    *rules_types.RULES,
    *rules_constraints.RULES,
    *rules_indexes.RULES,
    *rules_tables.RULES,
    *rules_objects.RULES,
    *rules_data.RULES,
    *rules_transactions.RULES,
    *rules_sessions.RULES,
)
RULES: tuple[Rule, ...] = (*_SPECIFIC, *rules_transactions.LEFT_OVER)
"""Every rule. Their ids are a public contract."""

_SPECIFIC_TO_IT = tuple(rule for rule in _SPECIFIC if rule not in rules_transactions.RULES)
"""The rules about what a statement does, not about the transaction that it is in."""

_SEVERITIES = ("finding", "note", "ignored")
_INDEXING = ("create_index", "add_unique", "add_primary_key")
_NO_INDEXES: Mapping[str, IndexState] = MappingProxyType({})


@dataclass(frozen=True)
class Advice:
    """One rule that fired on one statement. `severity`: finding (it hurt, or would on a table of this size),
    note (small or idle), ignored (with the `reason` given for it).

    `safe` is the safe form as Alembic code with the statement's own names; `evidence` what was measured;
    `hold_s` how long the lock was held that it is about, None where it is about none.
    """

    rule: str
    statement: int
    revision: str | None
    severity: str
    condition: str
    consequence: str
    safe: str
    source: str
    evidence: str
    reason: str = ""
    hold_s: float | None = None


def advise(
    statements: Sequence[Traced],
    sizes: Mapping[str, TableState],
    ignored: Mapping[str, str],
    indexes: Mapping[str, IndexState] = _NO_INDEXES,
) -> tuple[Advice, ...]:
    """What the rules say of a migration's statements, worst first.

    `sizes` and `indexes` are the tables and indexes before the migration, by name; a table that is not
    among `sizes` is taken for a new one, which no rule is about. `ignored` is rule → reason. Statements are
    the migration's own, in their order; what is said of several attempts at one is said once, of the worst.
    """
    known = {**{quoted(last_part(name)): state for name, state in sizes.items()}, **sizes}
    ranked: list[tuple[tuple[float, ...], Advice]] = []
    past = Past()
    views, indexed = _views(statements), _indexed(statements)
    for traced in statements:
        case = Case(traced, past, known, indexes, views[traced.statement.transaction], indexed)
        matches = _matches(case)
        for order, (rule, match) in enumerate(matches):
            found = _advice(case, rule, match, ignored, _safe(case, rule, match, matches))
            ranked.append((_rank(case, match, found, order), found))
        past.add(traced)
    worst_first = [found for _, found in sorted(ranked, key=lambda item: item[0])]
    first = {traced.statement.n: traced.statement.attempt_of for traced in statements}
    once = {(one.rule, one.safe, first.get(one.statement) or one.statement): one for one in worst_first[::-1]}
    return tuple(one for one in worst_first if one in once.values())


def _indexed(statements: Sequence[Traced]) -> Sequence[Action]:
    """What makes an index; a foreign key may have its index a revision later."""
    done = (traced for traced in statements if traced.statement.sqlstate is None)
    return [action for traced in done for action in traced.shape.actions if action.verb in _INDEXING]


def _views(statements: Sequence[Traced]) -> Mapping[int | None, Sequence[str]]:
    """The views that each transaction made."""
    made: defaultdict[int | None, list[str]] = defaultdict(list)
    for traced in statements:
        for action in traced.shape.actions:
            if action.verb == "create_view" and action.relation:
                made[traced.statement.transaction].append(action.relation)
    return made


def _matches(case: Case) -> list[tuple[Rule, Match]]:
    """Each rule once per statement and safe form; the general rule where no other makes it a finding."""
    found = _unlike([(rule, match) for rule in _SPECIFIC for match in rule.matches(case)])
    if any(rule.id != "no-lock-timeout" and _hurts(case, match) for rule, match in found):
        return found
    return found + [(rule, match) for rule in rules_transactions.LEFT_OVER for match in rule.matches(case)]


def _unlike(found: list[tuple[Rule, Match]]) -> list[tuple[Rule, Match]]:
    unlike = {(rule.id, rule.safe(match.action)): (rule, match) for rule, match in reversed(found)}
    return list(reversed(unlike.values()))


def _safe(case: Case, rule: Rule, match: Match, matches: Sequence[tuple[Rule, Match]]) -> str:
    """The safe form; where it shows the statement as it stands, with the rule that says how to write that."""
    safe = rule.safe(match.action)
    if rule in _SPECIFIC_TO_IT or execute(match.action.expression or "") not in safe:
        return safe
    own = [other.id for other, found in matches if other in _SPECIFIC_TO_IT and _hurts(case, found)]
    return f"{safe}\n# and that statement itself as {own[0]} says" if own else safe


def _hurts(case: Case, match: Match) -> bool:
    return _severity(case, match) == "finding"


def _advice(case: Case, rule: Rule, match: Match, ignored: Mapping[str, str], safe: str) -> Advice:
    reason = ignored.get(rule.id, "")
    return Advice(
        rule=rule.id,
        statement=case.statement.n or 0,
        revision=case.statement.revision,
        severity="ignored" if reason else _severity(case, match),
        condition=rule.condition,
        consequence=rule.consequence,
        safe=mask(safe),
        source=rule.source,
        evidence=match.evidence,
        reason=reason,
        hold_s=match.hold_s,
    )


def _severity(case: Case, match: Match) -> str:
    if match.weight != "measured":
        return "finding" if match.weight == "certain" else "note"
    hurt = case.blocked_long or (match.hold_s or 0.0) > LONG_HOLD_S
    return "finding" if hurt or any(case.is_big(name) for name in match.relations) else "note"


def _rank(case: Case, match: Match, found: Advice, order: int) -> tuple[float, ...]:
    return (
        _SEVERITIES.index(found.severity),
        -(case.traced.blocked_s or 0.0),
        -(match.hold_s or 0.0),
        found.statement,
        order,
    )


def explain_rules(ids: Sequence[str] = ()) -> str:
    """Markdown about the rules of these ids, or about all, with their table at the head; raises UsageError
    naming those there are."""
    known = {rule.id: rule for rule in RULES}
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise UsageError(f"There is no rule {unknown[0]!r}.", f"The rules are {', '.join(sorted(known))}.")
    explained = (_explained(known[name]) for name in ids or known)
    return "\n\n".join(explained if ids else (rules_table(), *explained))


def _explained(rule: Rule) -> str:
    return "\n".join(
        (
            f"### {rule.id}",
            "",
            f"{rule.title}.",
            "",
            f"- Fires when: {rule.condition}",
            f"- Why: {rule.consequence}",
            f"- PostgreSQL: <{rule.source}>",
            "",
            f"Instead: {rule.instead}.",
            "",
            "```python",
            rule.safe(rule.example),
            "```",
        )
    )


def rules_table() -> str:
    """A Markdown table of all rules: id, when it fires, the safe form in a phrase."""
    rows = (f"| `{rule.id}` | {rule.condition} | {rule.instead} |" for rule in RULES)
    return "\n".join(("| rule | fires when | instead |", "|---|---|---|", *rows))
