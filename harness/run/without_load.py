"""Runs that end before their load begins: what they leave on record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.core.events import Event, Kind
from harness.core.plan import Plan
from harness.errors import NothingToMigrate
from harness.run.steps import Step, known_as, may_have_work
from harness.store import RunDirectory

__all__ = ["check_there_is_work", "record_interruption"]

Noted = tuple[str, dict[str, Any]]


def check_there_is_work(plan: Plan, steps: Sequence[Step], directory: RunDirectory) -> None:
    """Raise NothingToMigrate, after recording a run in which nothing was there to migrate."""
    if not steps or any(may_have_work(step) for step in steps):
        return
    at = [step.migrator.current() for step in steps]
    nothing = [
        noted
        for number, (step, revisions) in enumerate(zip(steps, at, strict=True), 1)
        for noted in _nothing(number, step, list(revisions), plan.several)
    ]
    _record(directory, [*_start(directory, plan), *nothing, *_end("nothing to migrate", complete=True)])
    where = [
        f"{f'of {step.plan.name} ' if plan.several else ''}already is at {', '.join(revisions) or 'base'}:"
        f" upgrade {step.plan.upgrade} has nothing to do."
        for step, revisions in zip(steps, at, strict=True)
    ]
    raise NothingToMigrate(
        " ".join(f"The database {one}" for one in where),
        "Start from the release before: --from-dump FILE or --prepare CMD; with --recreate-database every run"
        " starts there again (harness help same-start).",
    )


def record_interruption(directory: RunDirectory, plan: Plan) -> None:
    """Write the events of a run that a person ended."""
    _record(directory, [*_start(directory, plan), *_end("interrupted before the load", complete=False)])


def _record(directory: RunDirectory, events: Sequence[Noted]) -> None:
    """Write the events of a run whose load never began."""
    for kind, data in events:
        directory.append_event(Event(0.0, kind, data))
    directory.close()


def _start(directory: RunDirectory, plan: Plan) -> list[Noted]:
    return [(Kind.RUN_START, {"run_id": directory.run_id, "monotonic": 0.0, "seed": plan.seed})]


def _end(cause: str, complete: bool) -> list[Noted]:
    return [(Kind.STOP, {"cause": cause}), (Kind.RUN_END, {"complete": complete})]


def _nothing(number: int, step: Step, revisions: list[str], several: bool) -> list[Noted]:
    episode = {"episode": number, "direction": "upgrade", **known_as(step, several)}
    begin = {"target": step.plan.upgrade, "revisions_before": revisions, "attempt": 1}
    end = {"status": "nothing", "revisions_after": revisions, "reached": True}
    return [(Kind.MIGRATION_BEGIN, {**episode, **begin}), (Kind.MIGRATION_END, {**episode, **end})]
