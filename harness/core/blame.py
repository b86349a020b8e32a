"""Blame: which statement made whom wait, and which requests suffered."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.core.affected import Requests
from harness.core.attribution import Attribution, Charge
from harness.core.durations import format_duration
from harness.core.error_classes import ErrorClass
from harness.core.migrations import Migration
from harness.core.secrets import mask
from harness.core.trace import Statement

__all__ = ["Attempt", "Blame", "BlockedQuery", "blame", "normalised"]

_QUERY_LENGTH = 500
_MOST_QUERIES = 50
"""Shapes of queries told of one statement: a service that writes values into its SQL has thousands."""
_ROOT_SHARE = 0.05
"""The share of a statement's blocked time from which another session that it waited for is worth naming."""

_NOISE = re.compile(
    r"(?<!\w)e'(?:[^'\\]|\\.|'')*'?|'(?:[^']|'')*'?|\$(\w*)\$.*?(?:\$\1\$|\Z)|/\*.*?(?:\*/|\Z)|--[^\n]*|(?<![\w$])\d+(?:\.\d+)?(?:e[+-]?\d+)?\b",
    re.DOTALL | re.IGNORECASE,
)
_LIST = re.compile(r"\(\s*(?:\?|\$\d+)(?:\s*,\s*(?:\?|\$\d+))+\s*\)")


@dataclass(frozen=True)
class BlockedQuery:
    """The waiting queries of one shape: `query_id` where PostgreSQL computes it, else None."""

    query: str
    query_id: int | None
    sessions: int
    session_seconds: float
    longest_s: float


@dataclass(frozen=True)
class Attempt:
    """What one run of a statement did to others, `start_at` when it began to make them wait."""

    statement: int | None
    start_at: float
    sessions: int
    session_seconds: float
    longest_s: float


@dataclass(frozen=True)
class Blame:
    """What one statement of the migration did to others, in all its `attempts` together.

    `statement` is its number `n`, of several attempts that of the longest wait; None where it is not known
    which one it was; `phase` migrate or rollback, `migration` the name of the migration where there are
    several.
    `relation` and `mode` are those of the migration's lock that the longest wait was for; `mode` is None for
    a row lock, whose `lock_type` is tuple or transactionid. `sessions` counts distinct backends;
    `session_seconds` is the sum of their waits. `root` is text naming another session that was the true root
    (a reader idle in its transaction before whom the migration queued), "" when the migration was the root.
    `requests`: requests affected, None when there is no evidence for any, `tied` of them exactly; `tie` as in
    `Affected`. `provenance`: exact, observed (every p ms), inferred. `running` is what the migration's
    session was seen to run, or to have run last, during the longest wait; "" where the statement is known.
    """

    statement: int | None
    phase: str
    relation: str | None
    mode: str | None
    sessions: int
    session_seconds: float
    longest_s: float
    requests: int | None
    endpoints: tuple[str, ...]
    errors: dict[str, int]
    queries: tuple[BlockedQuery, ...]
    root: str
    tie: str
    provenance: str
    revision: str | None = None
    lock_type: str = "relation"
    tied: int = 0
    attempts: tuple[Attempt, ...] = ()
    migration: str = ""
    running: str = ""

    def is_of(self, migration: Migration) -> bool:
        """Whether the statement is that migration's."""
        return (self.phase, self.migration) == (migration.phase, migration.name)


def blame(attribution: Attribution, errors: Sequence[ErrorClass], requests: Requests) -> tuple[Blame, ...]:
    """The statements that made sessions wait, the one with the most session-seconds first."""
    groups: dict[_Cause, list[Charge]] = defaultdict(list)
    for charge in attribution.service:
        groups[_cause(charge)].append(charge)
    queued: dict[_Cause, list[Charge]] = defaultdict(list)
    for charge in attribution.own:
        root = charge.wait.root
        if root is not None and root.pid not in attribution.backends:
            queued[_cause(charge)].append(charge)
    found = [_blame(charges, queued[cause], errors, requests) for cause, charges in groups.items()]
    return tuple(sorted(found, key=lambda blamed: -blamed.session_seconds))


_Cause = tuple[int, int | None]
"""The number of an episode, and that of its statement."""


def _cause(charge: Charge) -> _Cause:
    statement = charge.statement
    return charge.migration.number, None if statement is None else statement.attempt_of or statement.n


def _blame(
    charges: Sequence[Charge],
    queued: Sequence[Charge],
    errors: Sequence[ErrorClass],
    requests: Requests,
) -> Blame:
    longest = max(charges, key=lambda charge: charge.seconds)
    migration, statement = longest.migration, longest.statement
    relation, mode = _wanted(longest, queued)
    affected = requests.affected(
        (charge.wait.query for charge in charges), [(charge.start, charge.end) for charge in charges]
    )
    return Blame(
        statement=None if statement is None else statement.n,
        phase=migration.phase,
        relation=relation,
        mode=mode,
        sessions=len({charge.wait.pid for charge in charges}),
        session_seconds=sum(charge.seconds for charge in charges),
        longest_s=longest.seconds,
        requests=affected.requests,
        endpoints=affected.endpoints,
        errors=_errors_of(statement, migration, errors),
        queries=_queries(charges),
        root=_root(statement, charges, queued),
        tie=affected.tie,
        provenance=_provenance(charges),
        revision=None if statement is None else statement.revision,
        lock_type=longest.wait.lock_type,
        tied=affected.tied,
        attempts=_attempts(charges),
        migration=migration.name,
        running="" if statement is not None else _running(longest, queued),
    )


def _running(longest: Charge, queued: Sequence[Charge]) -> str:
    """The text of the root's query; where the migration itself queued for another session, of its own."""
    root = longest.wait.root
    texts = [own.wait.query for own in queued] or ([] if root is None else [root.query])
    return mask(normalised(texts[0])) if texts else ""


def _attempts(charges: Iterable[Charge]) -> tuple[Attempt, ...]:
    """In the order in which they made others wait."""
    runs: dict[int | None, list[Charge]] = defaultdict(list)
    for charge in charges:
        runs[None if charge.statement is None else charge.statement.n].append(charge)
    found = (
        Attempt(
            n,
            min(charge.start for charge in own),
            len({charge.wait.pid for charge in own}),
            sum(charge.seconds for charge in own),
            max(charge.seconds for charge in own),
        )
        for n, own in runs.items()
    )
    return tuple(sorted(found, key=lambda attempt: attempt.start_at))


def _wanted(longest: Charge, queued: Sequence[Charge]) -> tuple[str | None, str | None]:
    """The relation and the mode of the lock that was held, or that the migration queued for."""
    if longest.lock is not None:
        return longest.lock.relation, longest.lock.mode
    wait = longest.wait
    modes = (own.wait.mode for own in queued if wait.relation in (None, own.wait.relation))
    return wait.relation, next(modes, None)


def _errors_of(
    statement: Statement | None, migration: Migration, errors: Iterable[ErrorClass]
) -> dict[str, int]:
    """The errors laid to this statement, in its phase and after."""
    counts: dict[str, int] = defaultdict(int)
    for error in errors:
        of_rollback = (error.phase or "").startswith("rollback")
        if statement is None or of_rollback != (migration.phase == "rollback"):
            continue
        if error.migration == migration.name and error.statement == (statement.revision, statement.n):
            counts[error.name] += error.count
    return dict(sorted(counts.items()))


def _provenance(charges: Iterable[Charge]) -> str:
    if any(charge.inferred for charge in charges):
        return "inferred"
    observed = [charge.wait for charge in charges if charge.wait.provenance != "exact"]
    if not observed:
        return "exact"
    interval_s = max((wait.interval_s or 0.0 for wait in observed), default=0.0)
    return f"observed (every {interval_s * 1000:.0f} ms)" if interval_s else "observed"


# blocked queries


def normalised(query: str) -> str:
    """A query's text for grouping and for people: literals as `?`, without comments.

    >>> normalised("SELECT * FROM t WHERE id = 7 AND name = 'ada' /*traceparent='00-1'*/")
    'SELECT * FROM t WHERE id = ? AND name = ?'
    """
    text = _NOISE.sub(lambda found: " " if found[0].startswith(("/*", "--")) else "?", query)
    return " ".join(_LIST.sub("(?, …)", text).split())[:_QUERY_LENGTH]


def _queries(charges: Iterable[Charge]) -> tuple[BlockedQuery, ...]:
    groups: dict[int | str, list[Charge]] = defaultdict(list)
    for charge in charges:
        groups[charge.wait.query_id or normalised(charge.wait.query)].append(charge)
    found = (_query(own) for own in groups.values())
    return tuple(sorted(found, key=lambda query: (-query.session_seconds, query.query))[:_MOST_QUERIES])


def _query(charges: Sequence[Charge]) -> BlockedQuery:
    first = charges[0].wait
    return BlockedQuery(
        mask(normalised(first.query)),
        first.query_id,
        len({charge.wait.pid for charge in charges}),
        sum(charge.seconds for charge in charges),
        max(charge.seconds for charge in charges),
    )


# the true root


def _root(statement: Statement | None, charges: Sequence[Charge], queued: Sequence[Charge]) -> str:
    """The session before which the statement itself queued, if that made others wait noticeably."""
    if not queued:
        return ""
    longest = max(queued, key=lambda charge: charge.seconds)
    shared = sum(_shared(charge, longest) for charge in charges)
    if shared <= _ROOT_SHARE * sum(charge.seconds for charge in charges):
        return ""
    waited = f"the statement waited {format_duration(longest.seconds)} for it, and all others behind it"
    return f"{_session(longest)}: {waited}; {_timeout(statement)}"


def _shared(charge: Charge, other: Charge) -> float:
    return max(0.0, min(charge.end, other.end) - max(charge.start, other.start))


def _session(charge: Charge) -> str:
    root = charge.wait.root
    if root is None:
        return "a session"
    return ", ".join(_described(root.pid, root.application, root.state, root.transaction_s, root.query))


def _described(
    pid: int, application: str, state: str, transaction_s: float | None, query: str
) -> Iterator[str]:
    yield f"session {pid}"
    if application:
        yield mask(application)
    if state:
        yield state
    if transaction_s is not None:
        yield f"its transaction {format_duration(transaction_s)} old"
    if query:
        yield f"last query {mask(normalised(query))[:200]!r}"


def _timeout(statement: Statement | None) -> str:
    timeout_s = None if statement is None else statement.lock_timeout_s
    if timeout_s:
        return f"its lock_timeout was {format_duration(timeout_s)}"
    return "it should have had a lock_timeout"
