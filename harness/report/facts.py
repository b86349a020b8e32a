"""What happened, a sentence for each part of the run; and the settings it ran under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.secrets import mask
from harness.report.words import ABSENT, clean, count, plural, rate, seconds, share, size

__all__ = ["Fact", "findings", "kind_of", "migration_facts", "run_facts", "settings"]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """A titled line of text."""

    title: str
    text: str


_TOLD_BY = {"primary": "as the primary told", "replica": "as it told itself"}
_ENDS = {
    "ok": "reached its target",
    "failed": "failed",
    "deadline": "cancelled at its deadline",
    "stopped": "stopped with the run",
    "nothing": "nothing to migrate",
    "untraced": "refused: nothing told which database it changes",
    "wrong_database": "refused: it went to another database than the one that was checked",
}


def kind_of(migration: Json) -> str:
    """Whether it is the way there or the way back."""
    return "Rollback" if migration.get("direction") == "downgrade" else "Migration"


def _ended(migration: Json) -> str:
    status = migration.get("status")
    ended = _ENDS.get(str(status), clean(status)) if status else "its end was not seen"
    if status == "ok" and migration.get("target", "") is None:
        ended = "ended ok"
    return ". ".join(part for part in (ended, mask(clean(migration.get("message") or ""))) if part)


def _path(migration: Json) -> str:
    return f"{clean(migration.get('from') or ABSENT)} → {clean(migration.get('to') or ABSENT)}"


def migration_facts(migration: Json) -> Iterator[Fact]:
    """One migration as a whole."""
    yield Fact("Result", _ended(migration))
    path = _path(migration)
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
    """Each of several migrations, the deploy; waits, database, ledger, isolation, continuity, WebSocket and
    load: of these, a part without one known number was not measured. And the run that gates compare with.
    """
    for migration in verdict.get("migrations") or ():
        if migration.get("name"):
            took = seconds(migration.get("duration_s"))
            text = f"{clean(migration['name'])}: {_path(migration)} in {took}, {_ended(migration)}"
            yield Fact(kind_of(migration), f"{text.rstrip('.')}.")
    if verdict.get("deploy"):
        yield Fact("Deploy", _deploy(verdict["deploy"]))
    yield Fact("Waits", _waits(verdict.get("waits") or {}))
    points = verdict.get("database") or ()
    if points:
        yield Fact("Database", _database(points))
    for replica in verdict.get("replicas") or ():
        yield Fact("Replica", _replica(replica))
    catalog = verdict.get("catalog") or {}
    if catalog.get("read") or catalog.get("why"):
        yield Fact("Schema", _schema(catalog))
    for trip in verdict.get("round_trips") or ():
        yield Fact("Rollback", _round_trip(trip))
    for title, key, sentence in (
        ("Ledger", "ledger", _ledger),
        ("Isolation", "isolation", _isolation),
        ("Continuity", "continuity", _continuity),
        ("WebSocket", "websocket", _websocket),
        ("Load", "load", _load),
    ):
        facts: Json = verdict.get(key) or {}
        measured = any(value not in (None, [], {}) for value in facts.values())
        yield Fact(title, sentence(facts) if measured else "Not measured.")
    if verdict.get("baseline_run"):
        yield Fact("Baseline", f"Gates with {{run=baseline}} compare with {clean(verdict['baseline_run'])}.")


def _deploy(deploy: Json) -> str:
    """What was deployed when, and how it ended."""
    ended = {"ok": "ended ok", None: "how it ended is not recorded"}
    status = deploy.get("status")
    took = f" after {seconds(deploy['duration_s'])}" if deploy.get("duration_s") is not None else ""
    told = f"{clean(deploy.get('how'))}, {clean(deploy.get('when'))} the migration"
    why = f": {clean(deploy['message'])}" if deploy.get("message") else ""
    return f"{told}: {ended.get(status, clean(status))}{took}{why}".rstrip(".") + "."


def findings(verdict: Json) -> Iterator[Fact]:
    """Concrete violations: the writes that the ledger misses or did not expect, leaks, lost sessions, and
    what a rollback did not bring back.
    """
    for offender in (verdict.get("ledger") or {}).get("offenders") or ():
        who = f"{clean(offender.get('key'))} of account {clean(offender.get('account'))}"
        history = ", ".join(_operation(operation) for operation in offender.get("history") or ())
        why = clean(offender.get("why") or "")
        if offender.get("last_seen_at") is not None:
            why += f", last seen at {seconds(offender['last_seen_at'])}"
        yield Fact(clean(offender.get("kind")), f"{who}: {why}{f' ({history})' if history else ''}")
    for example in (verdict.get("isolation") or {}).get("examples") or ():
        yield Fact("leak", clean(example))
    for example in (verdict.get("continuity") or {}).get("examples") or ():
        yield Fact("session", clean(example))
    for trip in verdict.get("round_trips") or ():
        for loss in trip.get("losses") or ():
            yield Fact("not brought back", mask(clean(loss.get("what") or "")))
        for found in trip.get("schema") or ():
            kind = "not brought back" if found.get("red") else "left behind"
            yield Fact(kind, mask(clean(found.get("what") or "")))


def _operation(operation: Json) -> str:
    kind, version = clean(operation.get("kind")), operation.get("version")
    what = f"{kind} {clean(operation.get('outcome'))}"
    if kind == "read":
        what = "read showed nothing" if not operation.get("shown") else "read showed it"
    of = f" as version {count(version)}" if version is not None else ""
    phase = f" ({clean(operation['phase'])})" if operation.get("phase") else ""
    return f"{what}{of} at {seconds(operation.get('ended_at'))}{phase}"


def _waits(facts: Json) -> str:
    watched = _watched(facts.get("observed") or {})
    if facts.get("count") is None:
        return watched or "Not measured."
    because = facts.get("by_migration") or {}
    due = f" Because of the migration: {_total(because)}." if because.get("count") else ""
    return f"{_total(facts)}.{due} {watched}".rstrip()


def _total(waits: Json) -> str:
    if not waits["count"]:
        return "No session waited for a lock"
    return (
        f"{plural(waits['count'], 'wait')} of {plural(waits.get('sessions'), 'session')},"
        f" {plural(waits.get('session_seconds'), 'session-second')} in all,"
        f" the longest {seconds(waits.get('longest_s'))}"
    )


def _watched(observed: Json) -> str:
    """How the waits were seen, or why they were not."""
    if observed.get("why_blind"):
        return f"The observer could not see every wait: {mask(clean(observed['why_blind']))}"
    if observed.get("interval_s") is None:
        return ""
    died = " The observer died before its end." if observed.get("ended_at", 0) is None else ""
    why = mask(clean(observed.get("why_no_log") or "not readable")).rstrip(".")
    log = "the server's log was read" if observed.get("log_read") else f"the server's log was not: {why}"
    late = observed.get("late_p99_s")
    lateness = "" if late is None else f", late by {seconds(late)} (p99)"
    unseen = (*(observed.get("gaps") or ()), *(observed.get("blind") or ()))
    blind = sum(end - start for start, end in unseen)
    gaps = f" It saw nothing for {seconds(blind)} in between." if blind else ""
    return f"Observed at least every {seconds(observed['interval_s'])}{lateness}; {log}.{gaps}{died}"


def _database(points: Sequence[Json]) -> str:
    """The worst of what was recorded each second; a counter's most is its end."""
    keys = ("waiting", "oldest_transaction_s", "deadlocks", "wal_bytes", "lag_s")
    waiting, oldest, deadlocks, written, lag = (_most(points, key) for key in keys)
    parts = (
        f"At most {plural(waiting, 'session')} waiting at once",
        f"oldest transaction {seconds(oldest)}",
        plural(deadlocks, "deadlock"),
        f"{size(written)} of WAL",
        "" if lag is None else f"a replica {seconds(lag)} behind",
        *_busiest(points),
    )
    return f"{', '.join(part for part in parts if part)}."


def _replica(replica: Json) -> str:
    """How far it fell behind in the phase in which that was most, and what it canceled."""
    name = f"{clean(replica.get('name'))} ({_TOLD_BY.get(str(replica.get('source')), 'of unknown source')})"
    lags: Json = replica.get("lag_s") or {}
    if not lags:
        why = mask(clean(replica.get("why") or "")).rstrip(".")
        return f"{name}: how far it was behind is not known{f' ({why})' if why else ''}."
    worst = max(lags, key=lambda phase: lags[phase])
    lag = f"at most {seconds(lags[worst])} behind (in {clean(worst)}), {size(replica.get('behind_bytes'))}"
    conflicts: Json | None = replica.get("conflicts")
    if conflicts is None:
        return f"{name}: {lag}."
    kinds = ", ".join(
        f"{count(n)} {clean(kind).removeprefix('confl_')}" for kind, n in conflicts.items() if n
    )
    canceled = plural(sum(conflicts.values()), "query", "queries")
    return f"{name}: {lag}; {canceled} canceled by conflicts with recovery{f' ({kinds})' if kinds else ''}."


def _most(points: Sequence[Json], key: str) -> float | None:
    return max((point[key] for point in points if point.get(key) is not None), default=None)


def _busiest(points: Sequence[Json]) -> Iterator[str]:
    groups = sorted({group for point in points for group in point.get("cpu") or {}})
    for group in groups:
        busiest = max(point["cpu"][group] for point in points if group in (point.get("cpu") or {}))
        yield f"{clean(group)} at most {share(busiest)} of a core"


def _schema(catalog: Json) -> str:
    if not catalog.get("read"):
        return f"Not compared: {mask(clean(catalog['why'])).rstrip('.')}."
    return f"Compared before and after: {plural(len(catalog.get('findings') or ()), 'finding')}."


def _round_trip(trip: Json) -> str:
    """Both ways together: the schema, then the rows."""
    of = f" of {clean(trip['migration'])}" if trip.get("migration") else ""
    if why := mask(clean(trip.get("why_no_schema") or "")).rstrip("."):
        schema = f"the schema was not compared: {why}"
    else:
        schema = plural(sum(bool(found.get("red")) for found in trip.get("schema") or ()), "change")
        schema = f"{schema} of the schema left"
    if why := mask(clean(trip.get("why_no_rows") or "")).rstrip("."):
        return f"After it{of}, {schema}; the rows were not compared: {why}."
    tables = [table for table in trip.get("tables") or () if not table.get("why_not")]
    rows = sum(table.get("compared") or 0 for table in tables)
    compared = f"{plural(rows, 'row')} of {plural(len(tables), 'table')} compared"
    left_out = len(trip.get("tables") or ()) - len(tables)
    unread = f", {plural(left_out, 'table')} not" if left_out else ""
    losses = plural(len(trip.get("losses") or ()), "loss", "losses")
    return f"After it{of}, {schema}; {compared}{unread}: {losses}."


def _ledger(facts: Json) -> str:
    kinds = ("lost", "hidden", "resurrected", "unexpected", "duplicated", "indeterminate")
    counts = ", ".join(f"{count(facts.get(kind))} {kind}" for kind in kinds)
    reads = f"{plural(facts.get('reads'), 'read')} of own records: {count(facts.get('stale'))} stale"
    absent = f", {count(facts['absent'])} absent while a table was replaced" if facts.get("absent") else ""
    checked = facts.get("totals_checked")
    totals = (
        f" {plural(checked, 'total')} checked: {count(facts.get('totals_wrong'))} wrong." if checked else ""
    )
    return f"{plural(facts.get('acknowledged'), 'acknowledged write')}: {counts}. {reads}{absent}.{totals}"


def _isolation(facts: Json) -> str:
    tried, refused = facts.get("forged_tokens_tried"), facts.get("refused")
    forged = f"{plural(tried, 'forged token')} tried, {count(facts.get('forged_tokens_accepted'))} accepted."
    return (
        f"{plural(facts.get('reads_checked'), 'answer')} checked,"
        f" {plural(facts.get('probes'), 'probe')} of foreign records"
        f"{'' if refused is None else f' ({count(refused)} refused)'}: {plural(facts.get('leaks'), 'leak')}."
        f" {'No forged token was tried.' if not tried else forged}"
    )


def _continuity(facts: Json) -> str:
    if not facts.get("accounts"):
        return "No token and no login was tried."
    said = []
    for name in ("old_token", "fresh_login", "first_use"):
        kind: Json = facts.get(name) or {}
        tried = sum(kind.get(outcome) or 0 for outcome in ("worked", "failed", "unclear"))
        words = name.replace("_", " ")
        said.append(f"{words} {count(kind.get('worked'))} of {count(tried)}" if tried else f"no {words}")
    accounts = plural(facts["accounts"], "account")
    return f"{accounts} tried after the migration, of which worked: {', '.join(said)}."


def _websocket(facts: Json) -> str:
    again = facts.get("reconnects")
    took = f" (p99 {seconds(facts.get('reconnect_p99_s'))})" if again else ""
    resumed = f", {count(facts.get('resumed'))} resumed" if again else ""
    return (
        f"{plural(facts.get('connections'), 'connection')},"
        f" {plural(facts.get('delivered'), 'event')} delivered{resumed},"
        f" {count(facts.get('missed'))} missed, {count(facts.get('duplicated'))} duplicated,"
        f" {count(facts.get('reordered'))} reordered, {plural(again, 'reconnect')}{took};"
        f" delivery p99 {seconds(facts.get('delivery_p99_s'))},"
        f" longest silence {seconds(facts.get('longest_silence_s'))}.{_status(facts)}"
    )


def _status(facts: Json) -> str:
    """To how many of those who were connected the migration's status came."""
    due = facts.get("status_expected")
    if due is None:
        return ""
    told, p99 = count(facts.get("status_delivered")), seconds(facts.get("status_p99_s"))
    return f" The migration's status reached {told} of {count(due)}, p99 {p99}."


def _load(facts: Json) -> str:
    lost = ""
    if facts.get("workers_lost"):
        lost = f" ({count(facts['workers_lost'])} lost, with {share(facts.get('lost_ratio'))} of the load)"
    target = facts.get("target_rate")
    asked = f" of {rate(target)} asked for" if target is not None else ""
    closed = " in a closed loop" if facts.get("arrivals") == "closed" else ""
    shed = f", {plural(facts.get('shed'), 'arrival')} shed" if facts.get("shed") else ""
    return (
        f"{plural(facts.get('users'), 'user')} on {plural(facts.get('workers'), 'worker')}{lost},"
        f" {rate(facts.get('achieved_rate'))} sent{asked}{closed};"
        f" {plural(facts.get('started'), 'request')} started,"
        f" {count(facts.get('finished'))} finished, {count(facts.get('unfinished'))} unfinished{shed}."
        f" Generator late by {seconds(facts.get('hub_late_p99_s'))} (p99)."
    )


def settings(values: Json, prefix: str = "") -> Iterator[Fact]:
    """Nested settings as dotted names, sorted; lists on one line."""
    for key in sorted(values, key=str):
        value, name = values[key], f"{prefix}{clean(key)}"
        if isinstance(value, Mapping):
            yield from settings(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, 1):
                yield from settings(item, f"{name}.{clean(item.get('name') or number)}.")
        elif isinstance(value, list | tuple):
            yield Fact(name, ", ".join(mask(clean(item)) for item in value) or ABSENT)
        else:
            yield Fact(name, ABSENT if value is None else mask(clean(value)))
