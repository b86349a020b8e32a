"""Blame in words: which statement made whom wait, what the clients felt, and how to write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.secrets import mask
from harness.report.advice import Advice, code
from harness.report.statements import SHORT_SQL, Blocked, named, of_phase, within
from harness.report.words import clean, count, plural, seconds, several, shorten

__all__ = ["Blame", "BlockedQuery", "blamed"]

Json = Mapping[str, Any]

_TIES = {
    "traceparent": "exact, by traceparent",
    "overlap": "by overlap in time",
    "traceparent overlap": "those that waited by traceparent, the others by overlap in time",
}


@dataclass(frozen=True)
class BlockedQuery:
    """Waiting queries of one shape."""

    query: str
    short: str
    sessions: str
    whole: str
    longest: str


@dataclass(frozen=True)
class Blame:
    """What a statement is blamed for.

    `statement` names it; `cost` says whom it blocked, `felt` which requests, `root` who it was that the
    migration itself waited for ("" when nobody); `safe` is the code to write instead, `rule` explains it.
    """

    statement: str
    cost: str
    felt: str
    tie: str
    root: str
    errors: str
    queries: tuple[BlockedQuery, ...]
    safe: str
    rule: str
    provenance: str
    where: str = ""  # ` in billing`, where there are several migrations

    @property
    def sentence(self) -> str:
        """What it did, in one line."""
        return f"{self.cost}, {self.felt}."

    @property
    def line(self) -> str:
        """Which statement, and what it did."""
        return f"{self.statement[:1].upper()}{self.statement[1:]}. {self.sentence}"


def blamed(blames: Sequence[Json], migrations: Sequence[Json], advice: Sequence[Advice]) -> tuple[Blame, ...]:
    """In the verdict's order, the worst first."""
    return tuple(_blame(blame, migrations, advice) for blame in blames)


def _blame(blame: Json, migrations: Sequence[Json], advice: Sequence[Advice]) -> Blame:
    own = of_phase(migrations, blame)
    statement = named(blame.get("statement"), own, blame.get("revision"))
    if running := mask(clean(blame.get("running") or "")):
        statement = f"{statement}; it was seen running {shorten(running, SHORT_SQL)}"
    rules = [a for a in advice if a.statement == statement and a.severity != "ignored"]
    safe = code(blame.get("advice"))
    return Blame(
        statement=statement,
        cost=_cost(blame),
        felt=_felt(blame),
        tie=_TIES.get(str(blame.get("tie")), ""),
        root=_root(blame.get("root")),
        errors=", ".join(f"{count(n)} {clean(name)}" for name, n in (blame.get("errors") or {}).items()),
        queries=tuple(map(_query, blame.get("queries") or ())),
        safe=safe,
        rule=clean(blame.get("rule") or (rules[0].rule if rules else "")),
        provenance=clean(blame.get("provenance") or ""),
        where=within(blame, "migration"),
    )


def _cost(blame: Json) -> str:
    """`ShareLock on documents: 14 sessions blocked for 62 session-seconds, longest wait 7.4 s`."""
    sessions = plural(blame.get("blocked_sessions"), "session")
    whole = plural(blame.get("blocked_session_seconds"), "session-second")
    tries = len(blame.get("attempts") or ())
    over = f" over {tries} attempts" if tries > 1 else ""
    longest = seconds(blame.get("longest_wait_s"))
    return f"{_lock(blame)}: {sessions} blocked for {whole}{over}, longest wait {longest}"


def _lock(blame: Json) -> str:
    """A wait for a row is one for the transaction that changed it, and has no mode of a relation."""
    relation = f" on {clean(blame['relation'])}" if blame.get("relation") else ""
    if blame.get("mode"):
        return f"{clean(blame['mode'])}{relation}"
    rows = blame.get("lock_type") in ("tuple", "transactionid")
    return f"{'Row locks' if rows else 'Locks'}{relation}"


def _felt(blame: Json) -> str:
    requests, endpoints = blame.get("requests_affected"), blame.get("endpoints") or ()
    where = f" ({several(map(clean, endpoints), 4)})" if endpoints else ""
    if requests is None:
        return f"no request is known to have suffered{where}"
    tied = blame.get("requests_tied")
    waited = f", {count(tied)} of them waiting for it themselves" if tied and tied < requests else ""
    return f"{plural(requests, 'request')} affected{waited}{where}"


def _root(root: object) -> str:
    """The other session for which the migration itself waited."""
    return f"Root blocker: {shorten(mask(clean(root)), 500).rstrip('.')}." if root else ""


def _query(query: Json) -> BlockedQuery:
    text = mask(clean(query.get("query") or "")).strip() or "text not known"
    waited = Blocked(query.get("sessions"), query.get("session_seconds"), query.get("longest_s"))
    return BlockedQuery(
        query=text,
        short=shorten(text, SHORT_SQL),
        sessions=count(waited.sessions),
        whole=plural(waited.session_seconds, "session-second"),
        longest=seconds(waited.longest_s),
    )
