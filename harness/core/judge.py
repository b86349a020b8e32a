"""The judge: from a record to a verdict. The same record always gives the same verdict.

When the generator itself was unfit, what its clients saw is no evidence of the service:

- a *passing* client gate becomes inconclusive;
- a *red* client gate becomes inconclusive too, unless it would be red even if the generator's worst lateness
  were taken off what was observed: a stall of eight seconds is not made by ticks that came 80 ms late;
- ledger, isolation, migration, waits, deadlocks and catalog are seen by other evidence than the clients'
  timing, and keep their status.

When samples never came, or arrivals were shed, a passing client gate becomes inconclusive: what is missing
may be what was bad.

A maximum alone gives false alarms on any shared machine, so a red stall or latency says whether the database
has evidence against the migration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.core.advice import Advice
from harness.core.cpu_wait import explained_by_cpu
from harness.core.crowd import with_equal_crowds
from harness.core.database_gates import statement_name
from harness.core.details import details
from harness.core.durations import format_duration
from harness.core.events import Event, Kind
from harness.core.facts import Facts, facts_of
from harness.core.gate import Gate
from harness.core.gates import check_gates
from harness.core.generator import fitness
from harness.core.limits import limits
from harness.core.offered import shed
from harness.core.record import Record
from harness.core.review import advice_on
from harness.core.secrets import mask
from harness.core.shape import Parse, Shape
from harness.core.sight import why_unseen
from harness.core.verdict import GateResult, Verdict, exit_code, safe_text, worst

__all__ = ["judge"]

CLIENT_FAMILIES = ("client", "websocket")

EXPLAINS = 0.5
"""A wait explains a latency when it lasted at least so much of it; the rest is the queue behind it."""


def _unparsed(_sql: str) -> Shape:
    return Shape(parsed=False)


def judge(record: Record, parse: Parse = _unparsed) -> Verdict:
    """Judge a record by the gates of its plan; raises UsageError when the plan's gates are wrong.

    `parse` tells advice what a statement asks for; without it advice has only what was measured.
    """
    gates = check_gates(record.plan)
    facts = facts_of(record)
    results = _doubted(gates, [gate.result(facts) for gate in gates], facts)
    results = with_equal_crowds(gates, results, facts)
    for missing in (shed(facts), _missing_samples(facts)):
        results = _no_pass(gates, results, missing)
    results = [_blamed(result, facts) for result in results]
    advice, unadvised = _advice(facts, parse)
    complete = facts.complete
    stop = facts.first(Kind.STOP)
    status = worst(results, complete)
    refused = any(migration.status in ("wrong_database", "untraced") for migration in facts.migrations)
    return Verdict(
        run_id=facts.run_id,
        status=status,
        exit_code=int(exit_code(status, None if stop is None else str(stop.data.get("cause")), refused)),
        complete=complete,
        interrupted_in=None if complete else _last_phase(record.events),
        gates=tuple(replace(result, why=mask(result.why)) for result in results),
        limits=tuple(mask(limit) for limit in (*limits(gates, facts), *unadvised)),
        details=details(facts, advice),
    )


def _advice(facts: Facts, parse: Parse) -> tuple[dict[int, tuple[Advice, ...]], list[str]]:
    """What the rules say of each migration, by its number; and in sentences why there is none on one."""
    found: dict[int, tuple[Advice, ...]] = {}
    failed = []
    for migration in facts.migrations:
        if migration.placebo:
            continue
        before, watched = facts.schemas(migration)[0], facts.watch(migration).observed.complete
        ignored = facts.record.plan.ignored
        try:
            found[migration.number] = advice_on(migration, parse, before, ignored, facts.blame, watched)
        except Exception as error:  # noqa: BLE001 - a rule's fault must not cost the verdict
            what = safe_text(f"{type(error).__name__}: {error}")
            which = f"{migration.direction}{migration.of}"
            failed.append(f"No advice on the {which}: it could not be computed: {what}.")
    return found, failed


def _last_phase(events: Sequence[Event]) -> str | None:
    """The phase in which the run was stopped; by the order of the events, as instants may be equal."""
    phase: str | None = None
    for event in events:
        if event.kind == Kind.STOP:
            return phase
        if event.kind == Kind.PHASE:
            phase = str(event.data["name"])
    return phase


def _doubted(gates: Sequence[Gate], results: Sequence[GateResult], facts: Facts) -> list[GateResult]:
    """The results, those of clients in doubt where the generator was unfit."""
    unfit = next((r.why for r in results if r.name == "generator" and r.status == "fail"), "")
    why = unfit or facts.less_load
    if not why:
        return list(results)
    late_s = fitness(facts.record.health, facts.judged).late_max_s
    return [
        _in_doubt(result, why, late_s) if gate.family in CLIENT_FAMILIES else result
        for gate, result in zip(gates, results, strict=True)
    ]


def _in_doubt(result: GateResult, why: str, late_s: float | None) -> GateResult:
    if result.status not in ("pass", "fail") or _red_anyway(result, late_s):
        return result
    was = "passed" if result.status == "pass" else "was red"
    told = f"it {was}, but the generator was unfit ({why})"
    return replace(result, status="inconclusive", why=f"{told}; {result.why}" if result.why else told)


def _no_pass(gates: Sequence[Gate], results: Sequence[GateResult], missing: str) -> list[GateResult]:
    """The results, no pass among those of the clients when something is `missing` from what they are judged
    by.
    """
    why = f"it passed, but {missing}"
    return [
        replace(result, status="inconclusive", why=f"{why}; {result.why}" if result.why else why)
        if missing and gate.family == "client" and result.status == "pass"
        else result
        for gate, result in zip(gates, results, strict=True)
    ]


def _missing_samples(facts: Facts) -> str:
    workers = facts.record.incomplete_samples
    return f"samples of {', '.join(workers)} are missing" if workers else ""


def _red_anyway(result: GateResult, late_s: float | None) -> bool:
    """Whether a red latency or stall exceeds its limit by more than the generator's worst lateness."""
    if result.status != "fail" or result.unit != "s" or None in (late_s, result.observed, result.limit):
        return False
    return (result.observed or 0.0) - (late_s or 0.0) > (result.limit or 0.0)


# what the database says of a red stall or latency


def _blamed(result: GateResult, facts: Facts) -> GateResult:
    if result.name not in ("stall", "latency") or result.status != "fail":
        return result
    phase = "rollback" if "phase=rollback" in result.expression else "migrate"
    if facts.record.plan.placebo or "phase=deploy" in result.expression:
        return result
    why = _explained(phase, result.observed or 0.0, facts)
    return replace(result, why=f"{result.why}; {why}" if result.why else why)


def _explained(phase: str, seconds: float, facts: Facts) -> str:
    """The statement for which sessions waited long enough to explain what the clients saw."""
    own = [charge for charge in facts.attribution.service if charge.phase == phase]
    longest = max(own, key=lambda charge: charge.seconds, default=None)
    waited_s = 0.0 if longest is None else longest.seconds
    if longest is not None and waited_s >= EXPLAINS * seconds:
        name = statement_name(longest.statement, longest.migration.name)
        return f"{name} made a session wait for {format_duration(waited_s)}"
    errors = [error for error in facts.errors if error.statement is not None and error.phase == phase]
    if errors:
        return f"{errors[0].count} requests of the class {errors[0].name!r} began with the migration"
    if unseen := why_unseen(facts, phase):
        return f"whether a wait in the database explains it is not known: {unseen}"
    said = f" (the longest was {format_duration(waited_s)})" if waited_s else ""
    return f"no wait in the database explains it{said}{explained_by_cpu(facts, phase)}"
