"""Claims: what a linter said of the statements beforehand, beside what was measured of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.advice import Advice
from harness.core.locks import blocked_by
from harness.core.names import last_part
from harness.core.secrets import mask
from harness.core.trace import Lock, Statement

__all__ = ["Claim", "compare"]

CONFIRMED = "confirmed"
NOT_SEEN = "not seen"
ONLY_MEASURED = "only measured"


@dataclass(frozen=True)
class Claim:
    """One claim about statement `statement`.

    `status`: confirmed (the measurement shows the danger that the tool names), not seen (under this load), or
    only measured: then it is a finding of ours, `rule` is one of advice, and `tool` is the one that did not
    name it.
    """

    tool: str
    rule: str
    statement: int
    message: str
    status: str


def compare(
    predictions: Mapping[str, Any], advice: Sequence[Advice], statements: Iterable[Statement]
) -> tuple[Claim, ...]:
    """The tool's claims in its order, then the findings it did not name; `predictions` as in
    `predictions.json`. A statement that the tool could not read is one it was not asked about. A claim that
    is not whole is passed over.
    """
    tool = str(predictions.get("tool", ""))
    told = [claim for claim in predictions.get("claims") or () if _is_whole(claim)]
    measured = {one.statement.n: one for one in _measured(statements)}
    findings = [found for found in advice if found.severity == "finding"]
    claims = [_claim(tool, claim, measured.get(claim["statement"]), findings) for claim in told]
    named = {(c["statement"], rule) for c in told for rule in _danger(c["rule"]).rules}
    unread = set(predictions.get("unread") or ())
    return (
        *claims,
        *(
            Claim(tool, found.rule, found.statement, found.evidence, ONLY_MEASURED)
            for found in findings
            if found.statement not in unread and (found.statement, found.rule) not in named
        ),
    )


def _is_whole(claim: object) -> bool:
    """Whether it says which rule and which statement; a file that was damaged must not cost the verdict."""
    return isinstance(claim, Mapping) and isinstance(claim.get("statement"), int) and "rule" in claim


@dataclass(frozen=True)
class _Measured:
    """A statement, with its locks and those on the tables it names that its transaction held already."""

    statement: Statement
    locks: tuple[Lock, ...]

    def stops(self, operation: str | None = None) -> bool:
        """Whether `operation`, or any, on some table had to wait."""
        return any(operation in (None, *operations) for operations in blocked_by(self.locks).values())

    @property
    def stopped_and_scanned(self) -> bool:
        return bool(set(self.statement.scans) & blocked_by(self.locks).keys())


def _measured(statements: Iterable[Statement]) -> Iterator[_Measured]:
    """Each statement; they are in the order in which they began."""
    kept: dict[int | None, list[Lock]] = defaultdict(list)
    for statement in statements:
        own = kept[statement.transaction]
        named = (
            lock
            for lock in own
            if last_part(lock.of or lock.relation) in statement.sql
            if lock.released_mono is None or lock.released_mono > statement.started_mono
        )
        yield _Measured(statement, (*statement.locks, *named))
        if statement.transaction is not None:
            own.extend(statement.locks)


def _claim(
    tool: str, claim: Mapping[str, Any], measured: _Measured | None, findings: Iterable[Advice]
) -> Claim:
    danger, number = _danger(claim["rule"]), int(claim["statement"])
    hurt = any(found.statement == number and found.rule in danger.rules for found in findings)
    confirmed = hurt or (measured is not None and danger.seen(measured))
    status = CONFIRMED if confirmed else NOT_SEEN
    return Claim(tool, str(claim["rule"]), number, mask(str(claim.get("message", ""))), status)


Seen = Callable[[_Measured], bool]


@dataclass(frozen=True)
class _Danger:
    """What a claim warns of: how a measured statement shows it, and our rules for the same."""

    seen: Seen
    rules: frozenset[str]


def _stops_reads(measured: _Measured) -> bool:
    return measured.stops("SELECT")


def _stops_writes(measured: _Measured) -> bool:
    return measured.stops("UPDATE")


def _rewrote(measured: _Measured) -> bool:
    return bool(measured.statement.rewrites)


def _scanned(measured: _Measured) -> bool:
    """It read a whole table while others could not use it."""
    return measured.stopped_and_scanned


def _failed_with(sqlstate: str) -> Seen:
    return lambda measured: measured.statement.sqlstate == sqlstate


def _queues(measured: _Measured) -> bool:
    """It took a lock that others wait behind, and would have waited for it without end."""
    return measured.statement.lock_timeout_s == 0 and measured.stops()


def _lasts(measured: _Measured) -> bool:
    """It held such a lock, and nothing would have ended it."""
    return measured.statement.statement_timeout_s == 0 and measured.stops()


def _nothing(_: _Measured) -> bool:
    """For what no measurement of a migration can show: taste, and what users' code makes of it later."""
    return False


def _of(seen: Seen, *rules: str) -> _Danger:
    return _Danger(seen, frozenset(rules))


_UNKNOWN = _of(_nothing)


def _danger(rule: str) -> _Danger:
    return _DANGERS.get(rule, _UNKNOWN)


_RETYPED = ("alter-type-rewrite", "alter-type-timestamptz", "alter-type-scan", "alter-type-cached-plan")

_DANGERS: Mapping[str, _Danger] = {
    "adding-field-with-default": _of(_rewrote, "add-column-volatile-default", "add-column-rewrite"),
    "adding-foreign-key-constraint": _of(_stops_writes, "add-foreign-key", "add-column-references"),
    "adding-not-nullable-field": _of(_scanned, "set-not-null"),
    "adding-required-field": _of(_failed_with("23502"), "add-column-not-null"),
    "adding-serial-primary-key-field": _of(_stops_reads, "add-primary-key", "add-column-serial"),
    "ban-alter-domain-with-add-constraint": _of(_stops_writes, "alter-domain"),
    "ban-alter-row-level-security": _of(_stops_reads, "enable-row-security"),
    "ban-alter-sequence-values": _of(_nothing, "alter-sequence"),
    "ban-concurrent-index-creation-in-transaction": _of(_failed_with("25001"), "concurrently-in-transaction"),
    "ban-create-policy": _of(_stops_reads, "create-policy"),
    "ban-disable-trigger": _of(_stops_writes, "disable-trigger"),
    "ban-drop-column": _of(_nothing, "drop-column"),
    "ban-drop-constraint": _of(_stops_reads, "drop-foreign-key"),
    "ban-drop-index": _of(_stops_reads, "drop-index"),
    "ban-drop-table": _of(_nothing, "drop-table", "drop-cascade"),
    "ban-set-schema": _of(_nothing, "set-schema"),
    "ban-truncate-cascade": _of(_stops_reads, "truncate"),
    "changing-column-type": _of(_rewrote, *_RETYPED),
    "constraint-missing-not-valid": _of(_scanned, "add-check", "add-foreign-key"),
    "disallowed-unique-constraint": _of(_stops_reads, "add-unique", "add-column-unique"),
    "prefer-repack": _of(_rewrote, "vacuum-full", "cluster"),
    "renaming-column": _of(_nothing, "rename-column"),
    "renaming-table": _of(_nothing, "rename-table"),
    "require-concurrent-index-creation": _of(_stops_writes, "create-index", "create-index-partitioned"),
    "require-concurrent-index-deletion": _of(_stops_reads, "drop-index"),
    "require-concurrent-partition-detach": _of(_stops_reads, "detach-partition"),
    "require-concurrent-reindex": _of(_stops_reads, "reindex"),
    "require-lock-timeout": _of(_queues, "no-lock-timeout"),
    "require-statement-timeout": _of(_lasts),
    "require-timeout-settings": _of(lambda m: _queues(m) or _lasts(m), "no-lock-timeout"),
}
"""By squawk's rules (https://squawkhq.com/docs/rules)."""
