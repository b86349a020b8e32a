"""Up and down again: whether a rollback brought back the schema and the rows from before the upgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.core.contents import Contents, Difference, TableChange
from harness.core.facts import Facts
from harness.core.gate import Gate, inconclusive, worst_of
from harness.core.migrations import Migration
from harness.core.plan import Plan
from harness.core.schema_change import SchemaFinding
from harness.core.schema_round_trip import compare_round_trip
from harness.core.secrets import mask
from harness.core.verdict import GateResult, safe_text

__all__ = ["RoundTrip", "rollback_data", "rollback_schema", "round_trips", "round_trips_json", "unread_of"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Loss:
    """Something of a table's rows that is not as before the load: `red` where the traffic cannot have done
    it, None where that cannot be told.
    """

    relation: str
    what: str
    red: bool | None


@dataclass(frozen=True)
class RoundTrip:
    """The migrations of one database, which is `database` in the record: those that went up, and came back.

    `why_not` says why what it was and what it is cannot be held against each other, "" when they can.
    """

    database: str
    name: str
    why_not: str
    why_no_schema: str
    findings: tuple[SchemaFinding, ...]
    contents: Contents | None

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What the rows have lost, or gained other values in, red ones first."""
        found = [] if self.contents is None or self.why_not else list(_losses(self.contents))
        return tuple(sorted(found, key=lambda loss: (loss.red is not True, loss.relation, loss.what)))


def round_trips(facts: Facts) -> tuple[RoundTrip, ...]:
    """One for each database in which a rollback began."""
    back = facts.in_phase("rollback")
    return tuple(_round_trip(database, facts) for database in dict.fromkeys(m.database for m in back))


def _round_trip(database: str, facts: Facts) -> RoundTrip:
    ups = [m for m in facts.in_phase("migrate") if m.database == database and m.status != "nothing"]
    downs = [m for m in facts.in_phase("rollback") if m.database == database]
    before = facts.schemas(ups[0])[0] if ups else None
    after = facts.schemas(downs[-1])[1]
    why_not, why_no_schema = _why_not(ups, downs), ""
    for state, when in ((before, "before the upgrade"), (after, "after the rollback")):
        if state is None or state.error:
            said = "" if state is None or not state.error else f": {safe_text(state.error).rstrip('.')}"
            why_no_schema = why_no_schema or f"the catalog {when} was not read{said}"
    comparable = not why_not and not why_no_schema and before is not None and after is not None
    findings = compare_round_trip(before, after) if comparable and before and after else ()
    contents = facts.record.contents.get(database)
    return RoundTrip(database, downs[-1].name, why_not, why_no_schema, findings, contents)


def _why_not(ups: Sequence[Migration], downs: Sequence[Migration]) -> str:
    for down in downs:
        if down.status != "ok":
            return f"the rollback{down.of} did not end ok"
    back = {down.name: down for down in downs}
    for up in ups:
        if up.name not in back:
            return f"the upgrade{up.of} was not rolled back"
        down = back[up.name]
        if up.revisions_before is None or down.revisions_after is None:
            return f"where the upgrade{up.of} began, or its rollback ended, is not known"
        if set(up.revisions_before) != set(down.revisions_after):
            ends = ", ".join(down.revisions_after) or "base"
            began = ", ".join(up.revisions_before) or "base"
            return f"the rollback{down.of} ends at {ends}, and the upgrade began at {began}"
    return "" if ups else "no upgrade went before it"


# the rows


def _losses(contents: Contents) -> Iterator[Loss]:
    for table in contents.tables:
        for column in table.gone:
            told = f"the values of {table.name}.{column} are gone: it is not there, or of another type"
            yield Loss(table.name, told, red=True)
        yield from _loss(table, table.missing, "are gone", contents)
        for column, difference in table.changed.items():
            yield from _loss(table, difference, f"have another {column}", contents)
    for name, (was, now) in contents.sequences.items():
        if was is not None and (now is None or now < was):
            stands = "stands at its start" if now is None else f"stands at {now:,}"
            told = f"the sequence {name} {stands}, and stood at {was:,}: what it gives next may be taken"
            yield Loss(name, told, red=True)


def _loss(table: TableChange, found: Difference, how: str, contents: Contents) -> Iterator[Loss]:
    """What the traffic makes likely is no loss; so few that it may have begun to do so are not told apart."""
    if not found.rows:
        return
    likely = contents.likely(found.by_traffic)
    if found.rows <= likely and found.by_traffic:
        return
    sample = f" (one in {table.one_in} was looked at)" if table.one_in > 1 else ""
    keys = f", such as {', '.join(found.examples)}" if found.examples else ""
    rows = f"{found.rows:,} of {table.compared:,} rows of {table.name}{sample} {how}{keys}"
    if found.rows > likely:
        did = (
            f"traffic had done so to {found.by_traffic:,} when the migration began"
            if found.by_traffic
            else ""
        )
        yield Loss(table.name, f"{rows}; {did}" if did else rows, red=True)
    else:
        yield Loss(table.name, f"{rows}: so few that the traffic may have done it", red=None)


# the gates


def rollback_schema(plan: Plan) -> Iterator[Gate]:
    """The schema after the rollback against that from before the upgrade."""
    if plan.rolls_back:
        words = "tables, columns, defaults, constraints, indexes and sequences are as before the upgrade"
        yield Gate("rollback_schema", words, "catalog", _judged(_schema))


def rollback_data(plan: Plan) -> Iterator[Gate]:
    """The rows after the rollback against those from before the load."""
    if plan.rolls_back:
        words = "rows and values are as before the upgrade, but for what the traffic did"
        yield Gate("rollback_data", words, "catalog", _judged(_rows))


def _judged(judge: Callable[[RoundTrip], GateResult]) -> Callable[[Facts], GateResult]:
    def judge_all(facts: Facts) -> GateResult:
        found = round_trips(facts)
        if not found:
            return inconclusive("the run never came to phase rollback")
        return worst_of([(one.name, judge(one)) for one in found])

    return judge_all


def _schema(trip: RoundTrip) -> GateResult:
    if why := trip.why_not or trip.why_no_schema:
        return inconclusive(why)
    red = [finding for finding in trip.findings if finding.red]
    why = " ".join(finding.what for finding in red[:3])
    return GateResult("", "", "fail" if red else "pass", float(len(red)), 0.0, "count", None, why)


def _rows(trip: RoundTrip) -> GateResult:
    contents = trip.contents
    if trip.why_not:
        return inconclusive(trip.why_not)
    compared = sum(table.compared for table in contents.tables) if contents else 0
    red = [loss for loss in trip.losses if loss.red]
    if red:
        why = "; ".join(loss.what for loss in red[:3])
        return GateResult("", "", "fail", float(len(red)), 0.0, "count", compared, why)
    if unread := unread_of(trip):
        return inconclusive("; ".join(unread[:3]), compared if contents and contents.tables else None)
    return GateResult("", "", "pass", 0.0, 0.0, "count", compared)


def unread_of(trip: RoundTrip) -> list[str]:
    """What is not known of the rows, in sentences; none where all were compared."""
    contents = trip.contents
    if contents is None or contents.why_not:
        return ["it was not read" if contents is None else contents.why_not]
    return [
        *(loss.what for loss in trip.losses if loss.red is None),
        *(f"{one.name} was not compared: {one.why_not}" for one in contents.tables if one.why_not),
    ]


# verdict.json


def round_trips_json(facts: Facts) -> list[Json]:
    """`round_trips` of `verdict.json`."""
    return [_trip(trip) for trip in round_trips(facts)]


def _trip(trip: RoundTrip) -> Json:
    contents = trip.contents
    why = trip.why_not or ("it was not read" if contents is None else contents.why_not)
    return {
        "migration": trip.name or None,
        "schema": [{**asdict(finding), "what": mask(finding.what)} for finding in trip.findings],
        "why_no_schema": trip.why_not or trip.why_no_schema,
        "losses": [asdict(loss) for loss in trip.losses],
        "tables": [_table(table) for table in contents.tables] if contents else [],
        "why_no_rows": safe_text(why),
    }


def _table(table: TableChange) -> Json:
    return {
        "name": table.name,
        "rows_before": table.rows_before,
        "rows_after": table.rows_after,
        "compared": table.compared,
        "missing": table.missing.rows if table.compared or not table.why_not else None,
        "changed": {column: found.rows for column, found in table.changed.items()},
        "why_not": safe_text(table.why_not),
    }
