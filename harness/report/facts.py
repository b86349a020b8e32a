"""What happened, a sentence for each part of the run; and the settings it ran under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.secrets import mask
from harness.report.words import ABSENT, clean, count, plural, rate, seconds

__all__ = ["Fact", "findings", "migration_facts", "run_facts", "settings"]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """A titled line of text."""

    title: str
    text: str


_ENDS = {
    "ok": "reached its target",
    "failed": "failed",
    "deadline": "cancelled at its deadline",
    "stopped": "stopped with the run",
    "nothing": "nothing to migrate",
    "wrong_database": "refused: it went to another database than the one that was checked",
}


def migration_facts(migration: Json) -> Iterator[Fact]:
    """One migration as a whole."""
    status = migration.get("status")
    ended = _ENDS.get(str(status), clean(status)) if status else "its end was not seen"
    yield Fact(
        "Result", ". ".join(part for part in (ended, mask(clean(migration.get("message") or ""))) if part)
    )
    path = f"{clean(migration.get('from') or ABSENT)} → {clean(migration.get('to') or ABSENT)}"
    target = migration.get("target")
    yield Fact("Revisions", f"{path} (asked for: {clean(target)})" if target else path)
    for run in migration.get("revisions") or ():
        start, end = run.get("started_at"), run.get("ended_at")
        took = "no end seen" if start is None or end is None else seconds(end - start)
        yield Fact(clean(run.get("revision")), f"{clean(run.get('doc') or 'no description')} ({took})")
    yield Fact("First statement to last commit", seconds(migration.get("duration_s")))
    yield Fact("Process", f"{seconds(migration.get('process_s'))}{_attempts(migration)}")
    yield Fact("Command", mask(clean(_words(migration.get("command")))) or ABSENT)


def _attempts(migration: Json) -> str:
    attempts = migration.get("attempts") or 1
    return f", {attempts} attempts" if attempts > 1 else ""


def _words(command: object) -> str:
    return " ".join(map(str, command)) if isinstance(command, list | tuple) else str(command or "")


def run_facts(verdict: Json) -> Iterator[Fact]:
    """Ledger, isolation, WebSocket and load; a part without one known number was not measured."""
    for title, key, sentence in (
        ("Ledger", "ledger", _ledger),
        ("Isolation", "isolation", _isolation),
        ("WebSocket", "websocket", _websocket),
        ("Load", "load", _load),
    ):
        facts: Json = verdict.get(key) or {}
        measured = any(value is not None and value != [] for value in facts.values())
        yield Fact(title, sentence(facts) if measured else "Not measured.")


def findings(verdict: Json) -> Iterator[Fact]:
    """Concrete violations: the writes that the ledger misses or did not expect, and the leaks."""
    for offender in (verdict.get("ledger") or {}).get("offenders") or ():
        who = f"{clean(offender.get('key'))} of account {clean(offender.get('account'))}"
        history = ", ".join(_operation(operation) for operation in offender.get("history") or ())
        why = clean(offender.get("why") or "")
        yield Fact(clean(offender.get("kind")), f"{who}: {why}{f' ({history})' if history else ''}")
    for example in (verdict.get("isolation") or {}).get("examples") or ():
        yield Fact("leak", clean(example))


def _operation(operation: Json) -> str:
    what = f"{clean(operation.get('kind'))} {clean(operation.get('outcome'))}"
    return f"{what} at {seconds(operation.get('ended_at'))}"


def _ledger(facts: Json) -> str:
    kinds = ("lost", "hidden", "unexpected", "duplicated", "stale", "indeterminate")
    counts = ", ".join(f"{count(facts.get(kind))} {kind}" for kind in kinds)
    return f"{plural(facts.get('acknowledged'), 'acknowledged write')}: {counts}."


def _isolation(facts: Json) -> str:
    tried, refused = facts.get("forged_tokens_tried"), facts.get("refused")
    forged = f"{plural(tried, 'forged token')} tried, {count(facts.get('forged_tokens_accepted'))} accepted."
    return (
        f"{plural(facts.get('reads_checked'), 'read')} checked,"
        f" {plural(facts.get('probes'), 'probe')} of foreign records"
        f"{'' if refused is None else f' ({count(refused)} refused)'}: {plural(facts.get('leaks'), 'leak')}."
        f" {'No forged token was tried.' if not tried else forged}"
    )


def _websocket(facts: Json) -> str:
    return (
        f"{plural(facts.get('connections'), 'connection')},"
        f" {plural(facts.get('delivered'), 'event')} delivered,"
        f" {count(facts.get('missed'))} missed, {count(facts.get('duplicated'))} duplicated,"
        f" {count(facts.get('reordered'))} reordered, {plural(facts.get('reconnects'), 'reconnect')};"
        f" delivery p99 {seconds(facts.get('delivery_p99_s'))},"
        f" longest silence {seconds(facts.get('longest_silence_s'))}."
    )


def _load(facts: Json) -> str:
    lost = f" ({count(facts['workers_lost'])} lost)" if facts.get("workers_lost") else ""
    target = facts.get("target_rate")
    asked = f" of {rate(target)} asked for" if target is not None else ""
    return (
        f"{plural(facts.get('users'), 'user')} on {plural(facts.get('workers'), 'worker')}{lost},"
        f" {rate(facts.get('achieved_rate'))} sent{asked}; {plural(facts.get('started'), 'request')} started,"
        f" {count(facts.get('finished'))} finished, {count(facts.get('unfinished'))} unfinished."
        f" Generator late by {seconds(facts.get('hub_late_p99_s'))} (p99)."
    )


def settings(values: Json, prefix: str = "") -> Iterator[Fact]:
    """Nested settings as dotted names, sorted; lists on one line."""
    for key in sorted(values, key=str):
        value, name = values[key], f"{prefix}{clean(key)}"
        if isinstance(value, Mapping):
            yield from settings(value, f"{name}.")
        elif isinstance(value, list | tuple):
            yield Fact(name, ", ".join(mask(clean(item)) for item in value) or ABSENT)
        else:
            yield Fact(name, ABSENT if value is None else mask(clean(value)))
