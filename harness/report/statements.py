"""The migration's statements: each on the timeline, and equal ones of a revision together in the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.secrets import mask
from harness.report.words import ABSENT, clean, count, plural, seconds, several, shorten, size

__all__ = [
    "EFFECTS",
    "SHORT_SQL",
    "Blocked",
    "Span",
    "Statement",
    "grouped",
    "named",
    "of_phase",
    "spans",
    "within",
]

Json = Mapping[str, Any]

SHORT_SQL = 96
"""Characters of a statement where it is only mentioned."""

LONGEST_SQL = 20_000
"""Characters of a statement that a report holds; the run directory has the whole."""

EFFECTS = {
    "all": "blocks reads and writes",
    "writes": "blocks writes",
    "none": "blocks neither",
    "unknown": "locks not recorded",
}
"""What the strongest lock of a statement does to others' reads and writes of the same table."""

_EFFECT_OF = {
    "AccessExclusiveLock": "all",
    "ExclusiveLock": "writes",
    "ShareRowExclusiveLock": "writes",
    "ShareLock": "writes",
    "ShareUpdateExclusiveLock": "none",
    "RowExclusiveLock": "none",
    "RowShareLock": "none",
    "AccessShareLock": "none",
}
"""From the conflict table in https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES;
strongest first."""

_PARTS = {
    "i": ("index", "indexes"),
    "I": ("index", "indexes"),
    "S": ("sequence", "sequences"),
    "t": ("TOAST table", "TOAST tables"),
}
"""What belongs to a table, by `pg_class.relkind`."""

_OPERATIONS = 5
"""SELECT, INSERT, UPDATE, DELETE and SELECT FOR UPDATE: blocking all of them is blocking everything."""


@dataclass(frozen=True)
class Blocked:
    """Whom a statement made wait; None is not observed."""

    sessions: int | None = None
    session_seconds: float | None = None
    longest_s: float | None = None

    @property
    def words(self) -> str:
        if self.sessions is None:
            return ""
        if not self.sessions:
            return "nobody waited"
        blocked = plural(self.sessions, "session")
        whole = plural(self.session_seconds, "session-second")
        return f"{blocked} for {whole}, longest wait {seconds(self.longest_s)}"


@dataclass(frozen=True)
class Span:
    """One statement as it was executed; instants in seconds since the start of the run. `migration` is the
    name of its migration, where there are several.
    """

    number: int | None
    revision: str
    sql: str
    start: float
    duration: float | None  # of all executions together; None: its end was not seen
    end: float  # where there is no duration, the end of the migration
    executions: int  # more than one: the tracer kept only the sum of fast repeats
    effect: str  # a key of EFFECTS
    locks: tuple[str, ...]
    blocks: tuple[str, ...]
    work: tuple[str, ...]  # rewrites, scans under lock, indexes built anew
    rows: int | None
    wal_bytes: int | None
    tracer_s: float | None
    error: str
    timeouts: tuple[str, ...]
    blocked: Blocked
    provenance: str
    advice: tuple[str, ...]  # rule ids
    migration: str = ""

    @property
    def place(self) -> str:
        """Its revision, after the name of its migration where there are several."""
        return f"{self.migration}: {self.revision}" if self.migration else self.revision


@dataclass(frozen=True)
class Statement:
    """The same SQL of one revision, executed `times` times; every number already in words."""

    number: str
    revision: str
    sql: str
    short: str
    times: str
    started: str
    duration: str  # all executions together
    longest: str
    longest_s: float  # of fast repeats, whose longest is unknown, the mean
    unfinished: bool
    rows: str
    wal: str
    tracer: str
    timeouts: tuple[str, ...]
    effect: str
    locks: tuple[str, ...]
    blocks: tuple[str, ...]
    work: tuple[str, ...]
    blocked: str
    provenance: str
    advice: tuple[str, ...]
    error: str
    place: str


def spans(statements: Iterable[Json], until: float, migration: str = "") -> tuple[Span, ...]:
    """The statements of a migration that were begun, in their order; `until` is when it ended."""
    return tuple(_span(s, until, migration) for s in statements if s.get("started_at") is not None)


def grouped(executed: Sequence[Span]) -> tuple[Statement, ...]:
    """Equal statements of a revision as one, in the order of their first execution.

    A backfill in batches is one statement to its author, not two hundred.
    """
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in executed:
        groups.setdefault((span.revision, span.sql), []).append(span)
    return tuple(_statement(group) for group in groups.values())


def named(statement: object, migrations: Sequence[Json], revision: object = None) -> str:
    """A statement by its number, with revision and text, and the migration where there are several; an
    unknown one is named so.

    Several migrations count from 1: `revision` tells them apart where it is known.
    """
    if statement is None and any(m.get("traced") is False for m in migrations):
        return "the migration as a whole, which was not traced"
    if statement is None:
        which = within(migrations[0]) if len(migrations) == 1 else ""
        return f"a statement of the migration that is not known{which}"
    for known, migration in ((s, m) for m in migrations for s in m.get("statements") or ()):
        if known.get("n") == statement and revision in (None, known.get("revision")):
            sql = shorten(mask(clean(known.get("sql") or "")), SHORT_SQL)
            place = f"{clean(known.get('revision'))}{within(migration)}"
            return f"statement {statement} of revision {place}: {sql}"
    return f"statement {shorten(clean(statement), SHORT_SQL)}"


def within(told: Json, key: str = "name") -> str:
    """` in billing`, of a migration or of what has its name under another key; nothing where it has none."""
    return f" in {clean(told[key])}" if told.get(key) else ""


def of_phase(migrations: Sequence[Json], told: Json) -> Sequence[Json]:
    """The migrations that something told of may belong to: by its phase the upgrades or the rollbacks, and by
    the name of its migration; all where there is no telling.
    """
    back, name = str(told.get("phase")).startswith("rollback"), told.get("migration")
    of_it = [
        migration
        for migration in migrations
        if told.get("phase") is None or (migration.get("direction") == "downgrade") == back
        if name in (None, migration.get("name"))
    ]
    return of_it or migrations


def _span(statement: Json, until: float, migration: str) -> Span:
    locks = statement.get("locks") or ()
    start, duration = float(statement["started_at"]), statement.get("duration_s")
    return Span(
        number=statement.get("n"),
        revision=clean(statement.get("revision") or "no revision"),
        sql=_sql(statement.get("sql")),
        start=start,
        duration=duration,
        end=max(start, until) if duration is None else start + duration,
        executions=int(statement.get("executions") or 1),
        effect=_effect(statement),
        locks=(*_locks(locks), *_kept(statement)),
        blocks=tuple(_blocks(statement)),
        work=tuple(_work(statement)),
        rows=statement.get("rows"),
        wal_bytes=statement.get("wal_bytes"),
        tracer_s=statement.get("tracer_s"),
        error=_error(statement),
        timeouts=tuple(_timeouts(statement)),
        blocked=Blocked(**_of(statement.get("blocked"), "sessions", "session_seconds", "longest_s")),
        provenance=clean(statement.get("provenance") or ""),
        advice=tuple(clean(rule) for rule in statement.get("advice") or ()),
        migration=migration,
    )


def _of(values: Json | None, *names: str) -> dict[str, Any]:
    return {name: (values or {}).get(name) for name in names}


def _sql(sql: object) -> str:
    text = mask(clean(sql or "")).strip()
    if len(text) <= LONGEST_SQL:
        return text
    return f"{text[:LONGEST_SQL]}… ({count(len(text))} characters; the run directory has all of them)"


def _statement(group: Sequence[Span]) -> Statement:
    longest = max(group, key=_length)
    errors = dict.fromkeys(span.error for span in group if span.error)
    times = sum(span.executions for span in group)
    return Statement(
        number=ABSENT if group[0].number is None else count(group[0].number),
        revision=longest.revision,
        sql=longest.sql,
        short=shorten(longest.sql, SHORT_SQL),
        times=f"× {count(times)}" if times > 1 else "",
        started=seconds(group[0].start),
        duration=seconds(_sum(span.duration for span in group)),
        longest=_longest(longest, folded=times > len(group)),
        longest_s=_length(longest),
        unfinished=longest.duration is None,
        rows=count(_sum(span.rows for span in group)),
        wal=size(_sum(span.wal_bytes for span in group)),
        tracer=seconds(_sum(span.tracer_s for span in group)),
        timeouts=longest.timeouts,
        effect=longest.effect,
        locks=longest.locks,
        blocks=_once(span.blocks for span in group),
        work=_once(span.work for span in group),
        blocked=_together([span.blocked for span in group]).words,
        provenance=longest.provenance,
        advice=_once(span.advice for span in group),
        error="; ".join(errors),
        place=longest.place,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """Of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _once(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for part in parts for word in part))


def _together(waits: Sequence[Blocked]) -> Blocked:
    """Repeats block the same sessions again and again: the most of one execution stands for all."""
    return Blocked(
        sessions=max((w.sessions for w in waits if w.sessions is not None), default=None),
        session_seconds=_sum(w.session_seconds for w in waits),
        longest_s=max((w.longest_s for w in waits if w.longest_s is not None), default=None),
    )


def _length(span: Span) -> float:
    """Seconds of one execution: of fast repeats, their mean."""
    return (span.end - span.start) / span.executions


def _longest(span: Span, folded: bool) -> str:
    """Among executions of which only a sum is known, one took at least their mean."""
    if span.duration is None:
        return "no end seen"
    return f"at least {seconds(_length(span))}" if folded else seconds(span.duration)


def _error(statement: Json) -> str:
    state, error = statement.get("sqlstate"), shorten(mask(clean(statement.get("error") or "")), 160)
    return ": ".join(part for part in (f"SQLSTATE {clean(state)}" if state else "", error) if part)


def _effect(statement: Json) -> str:
    """Of the locks in force while it ran: those it took, and those its transaction had kept."""
    in_force = (*(statement.get("locks") or ()), *(statement.get("kept") or ()))
    modes = [str(lock.get("mode")) for lock in in_force]
    if not modes and statement.get("provenance") == "exact":
        return "none"
    effects = {_EFFECT_OF.get(mode, "unknown") for mode in modes}
    return next((effect for effect in EFFECTS if effect in effects), "unknown")


def _locks(locks: Iterable[Json]) -> Iterator[str]:
    """`AccessExclusiveLock on a_pkey, a_idx (indexes of a), held 9.22 s`: what is alike is one line."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for lock in locks:
        key = (
            clean(lock.get("mode")),
            str(lock.get("kind")),
            clean(lock.get("of") or ""),
            seconds(lock.get("hold_s")),
        )
        alike.setdefault(key, []).append(clean(lock.get("relation")))
    for (mode, kind, of, hold), relations in alike.items():
        part = _PARTS.get(kind, ("part", "parts"))[len(relations) > 1]
        owner = f" ({part} of {of})" if of else ""
        yield f"{mode} on {several(relations, 4)}{owner}, held {hold}"


def _kept(statement: Json) -> Iterator[str]:
    """`AccessExclusiveLock on documents, still held`: by the transaction, from an earlier statement."""
    for lock in statement.get("kept") or ():
        yield f"{clean(lock.get('mode'))} on {clean(lock.get('relation'))}, still held"


def _blocks(statement: Json) -> Iterator[str]:
    """`everything on documents`, `INSERT, UPDATE, DELETE on transfers`."""
    for block in statement.get("blocks") or ():
        operations = block.get("operations") or ()
        words = "everything" if len(operations) >= _OPERATIONS else ", ".join(map(clean, operations))
        yield f"{words} on {clean(block.get('relation'))}"


def _work(statement: Json) -> Iterator[str]:
    for key, verb in (("rewrites", "rewrites"), ("rebuilt", "rebuilds"), ("scans", "reads all of")):
        if statement.get(key):
            yield f"{verb} {several(map(clean, statement[key]), 4)}"


def _timeouts(statement: Json) -> Iterator[str]:
    """Those in effect at the statement; PostgreSQL's 0 waits for ever."""
    for key, name in (
        ("lock_timeout_s", "lock"),
        ("statement_timeout_s", "statement"),
        ("idle_timeout_s", "idle"),
    ):
        value = statement.get(key)
        if value is not None:
            yield f"{name} {seconds(value) if value else 'none'}"
