"""What a rule of advice is, and the traced statement it looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.counted import counted
from harness.core.names import among, last_part, quoted, same, schema_of
from harness.core.schema_state import IndexState, TableState
from harness.core.shape import Action, Shape
from harness.core.trace import Statement

__all__ = [
    "ACCESS_EXCLUSIVE",
    "EXCLUSIVE",
    "READS_BLOCKED",
    "SHARE",
    "SHARE_ROW_EXCLUSIVE",
    "WRITES_BLOCKED",
    "Case",
    "Held",
    "Match",
    "Past",
    "Rule",
    "Traced",
    "asks",
]

ACCESS_EXCLUSIVE = "AccessExclusiveLock"
EXCLUSIVE = "ExclusiveLock"
SHARE_ROW_EXCLUSIVE = "ShareRowExclusiveLock"
SHARE = "ShareLock"

READS_BLOCKED = (ACCESS_EXCLUSIVE,)
WRITES_BLOCKED = (ACCESS_EXCLUSIVE, EXCLUSIVE, SHARE_ROW_EXCLUSIVE, SHARE)
"""Strongest first: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES"""

_TABLE_KINDS = ("r", "p", "f", "m", "v", None)
"""`pg_class.relkind` of what holds rows or reads as if it did; None where the tracer could not tell."""

CREATES = ("create_table", "create_table_as", "create_view", "create_matview", "create_sequence")
_NOT_TABLES = frozenset(
    (
        *("alter_domain", "create_domain", "alter_sequence", "drop_sequence", "alter_index", "drop_index"),
        *("add_enum_value", "rename_enum_value", "drop_type", "drop_schema", "rename_schema", "reindex"),
    )
)
"""Verbs whose relation is no table, so that its absence from the tables before says nothing."""

SMALL_ROWS = 10_000
SMALL_BYTES = 10_000_000
LONG_HOLD_S = 0.5


@dataclass(frozen=True)
class Traced:
    """A statement of the migration as it was measured, with its shape.

    `blocked_sessions` waited for its locks, `blocked_s` seconds in all; None: not observed. `previous` are
    the migration's statements before it in the same transaction.
    """

    statement: Statement
    shape: Shape
    blocked_sessions: int | None = 0
    blocked_s: float | None = 0.0
    previous: tuple[Traced, ...] = ()


class Past:
    """What a migration's statements did before the one that is looked at, by what rules ask for."""

    def __init__(self) -> None:
        self.actions: defaultdict[str, list[Action]] = defaultdict(list)
        self.failed: defaultdict[str, list[Action]] = defaultdict(list)
        self.made: defaultdict[str, list[str]] = defaultdict(list)
        self.rewrites: defaultdict[str, list[Statement]] = defaultdict(list)

    def add(self, traced: Traced) -> None:
        """Keeps a statement's actions by verb, what they made by name, and what it rewrote."""
        actions = self.actions if traced.statement.sqlstate is None else self.failed
        for action in traced.shape.actions:
            actions[action.verb].append(action)
            if actions is self.actions and action.verb in CREATES and action.relation:
                self.made[last_part(action.relation)].append(action.relation)
        for relation in traced.statement.rewrites:
            self.rewrites[relation].append(traced.statement)


@dataclass(frozen=True)
class Held:
    """A lock a statement held, its own or one kept from an earlier statement of the transaction.

    `hold_s` counts from this statement's start. `measured` is False where the tracer could see no locks and
    the lock is the one PostgreSQL documents; then `hold_s` is the statement's duration.
    """

    relation: str
    mode: str
    hold_s: float | None
    measured: bool = True


@dataclass(frozen=True)
class Match:
    """What a rule found: the action with the names, the tables that suffer, and what was measured.

    `weight`: measured (a finding where it hurt or the table is not small), certain (a finding wherever it
    happens), note (never a finding).
    """

    action: Action
    relations: tuple[str, ...]
    evidence: str
    hold_s: float | None = None
    weight: str = "measured"


@dataclass(frozen=True)
class Case:
    """One traced statement with what is known around it; what rules look at.

    `past` is what the migration did before it. `sizes` are the tables and `indexes` the indexes before the
    migration, by name. `views` are the views that its transaction made, before it or after it, `indexed` what
    makes an index anywhere in the migration.
    """

    traced: Traced
    past: Past = field(default_factory=Past)
    sizes: Mapping[str, TableState] = field(default_factory=dict)
    indexes: Mapping[str, IndexState] = field(default_factory=dict)
    views: Sequence[str] = ()
    indexed: Sequence[Action] = ()

    @property
    def statement(self) -> Statement:
        return self.traced.statement

    @property
    def failed(self) -> bool:
        return self.statement.sqlstate is not None

    def actions(self, *verbs: str) -> Iterator[Action]:
        """Its actions of these verbs on what was there before the migration."""
        for action in self.traced.shape.actions:
            if action.verb not in verbs:
                continue
            relation = action.relation
            new = self._was_made(relation) if action.verb in _NOT_TABLES else self.is_new(relation)
            if not new:
                yield action

    def before(self, *verbs: str) -> Iterator[Action]:
        """Actions of these verbs that the migration executed with success before this statement."""
        for verb in verbs:
            yield from self.past.actions.get(verb, ())

    def before_in_transaction(self, *verbs: str) -> Iterator[Action]:
        """Those of them in this statement's transaction."""
        for traced in self.traced.previous:
            yield from (action for action in traced.shape.actions if action.verb in verbs)

    def is_new(self, relation: str | None) -> bool:
        """Whether this migration made the table, so that nobody else can want it yet."""
        if relation is None or self.size(relation) is not None:
            return False
        unknown = bool(self.sizes) and not self.traced.blocked_sessions and not self._was_moved(relation)
        return self._was_made(relation) or unknown

    def _was_made(self, relation: str | None) -> bool:
        if relation is None:
            return False
        own = (action.relation for action in self.traced.shape.actions if action.verb in CREATES)
        made = (*self.past.made.get(last_part(relation), ()), *own)
        return any(same(relation, name) for name in made)

    def _was_moved(self, relation: str) -> bool:
        """Whether it is there under another name: renamed, or in another schema."""
        own = last_part(relation)
        return any(
            last_part((action.name if action.verb == "rename_table" else action.relation) or "") == own
            for action in self.before("rename_table", "set_schema", "rename_schema")
        )

    def size(self, relation: str | None) -> TableState | None:
        """The relation before the migration, if it was there."""
        if relation is None:
            return None
        found = self.sizes.get(relation)
        if found is not None:
            return found
        other = self.sizes.get(quoted(last_part(relation)))
        fits = other is not None and schema_of(relation) in (None, schema_of(other.name) or "public")
        return other if fits else None

    def is_big(self, relation: str | None) -> bool:
        """Whether it, or its partitions together, have more than 10,000 rows or 10 MB."""
        state = self.size(relation)
        if state is None:
            return False
        parts = {item.name: item for item in self.sizes.values() if item.partition_of is not None}
        family = [state, *(item for item in parts.values() if same(item.partition_of, state.name))]
        rows = sum(max(item.rows or 0.0, 0.0) for item in family)
        return rows > SMALL_ROWS or sum(item.bytes or 0 for item in family) > SMALL_BYTES

    def locks(self, *modes: str) -> tuple[Held, ...]:
        """Locks of these modes that this statement was the first to take, on tables that are not new."""
        found = (
            Held(lock.relation, lock.mode, lock.hold_s)
            for lock in self.statement.locks
            if lock.mode in modes and lock.kind in _TABLE_KINDS and not self.is_new(lock.relation)
        )
        return tuple(sorted(found, key=lambda held: (-(held.hold_s or 0.0), held.relation)))

    def kept(self, *modes: str) -> tuple[Held, ...]:
        """Locks of these modes that earlier statements of the transaction left it with."""
        return tuple(
            Held(lock.relation, lock.mode, self._since_start(lock.released_mono))
            for traced in self.traced.previous
            for lock in traced.statement.locks
            if lock.mode in modes and lock.kind in _TABLE_KINDS and not self.is_new(lock.relation)
            if lock.released_mono is None or lock.released_mono > self.statement.started_mono
        )

    def _since_start(self, released_mono: float | None) -> float | None:
        return None if released_mono is None else released_mono - self.statement.started_mono

    def held(self, relation: str | None, *modes: str, sure: bool = True) -> Held | None:
        """The lock of one of these modes on `relation`, or, where the tracer could see none, `modes[0]`.

        `sure` is False for a statement that may have done nothing (IF EXISTS): then only a lock that was seen
        counts.
        """
        for held in (*self.locks(*modes), *self.kept(*modes)):
            if same(held.relation, relation):
                return held
        unseen = not self.statement.locks and not self.failed and sure
        covered = any(same(lock.relation, relation) for lock in self._all_kept())
        if relation is not None and unseen and not covered:
            return Held(relation, modes[0], self.statement.duration_s, measured=False)
        return None

    def _all_kept(self) -> Iterator[Held]:
        for traced in self.traced.previous:
            for lock in traced.statement.locks:
                yield Held(lock.relation, lock.mode, lock.hold_s)

    @property
    def blocked_long(self) -> bool:
        """Whether sessions were seen waiting for it, more than a moment."""
        return (self.traced.blocked_s or 0.0) > LONG_HOLD_S

    def gentle(self, *held: Held) -> bool:
        """Whether it bounded its wait by a lock_timeout, let go soon, and nobody was seen waiting long."""
        soon = all(item.hold_s is not None and item.hold_s <= LONG_HOLD_S for item in held)
        return bool(self.statement.lock_timeout_s) and soon and not self.blocked_long

    def rewrote(self, relation: str | None) -> bool:
        return among(relation, self.statement.rewrites) if relation else False

    def scanned(self, relation: str | None) -> bool:
        return among(relation, self.statement.scans) if relation else False

    def match(self, action: Action, *held: Held, said: str = "", weight: str = "measured") -> Match:
        """A match on these locks, with their numbers, rewrites and scans as its evidence."""
        relations = tuple(dict.fromkeys(item.relation for item in held)) or _named(action)
        said = "; ".join(part for part in (said, *self._told(held), *self._done(relations)) if part)
        longest = max((item.hold_s for item in held if item.hold_s is not None), default=None)
        return Match(action, relations, said, longest, weight)

    def _told(self, held: Sequence[Held]) -> Iterator[str]:
        for item in held:
            if not item.measured:
                yield f"its locks could not be read; {_lasted(item.hold_s)}"
            elif item.hold_s is None:
                yield f"{item.mode} on {item.relation}, never seen released"
            else:
                yield f"{item.mode} on {item.relation} held {seconds(item.hold_s)}"

    def _done(self, relations: Iterable[str]) -> Iterator[str]:
        for relation in relations:
            state = self.size(relation)
            size = f" ({_rows(state)})" if state is not None and state.rows is not None else ""
            if self.rewrote(relation):
                yield f"{relation}{size} rewritten"
            elif self.scanned(relation):
                yield f"{relation}{size} read from end to end"
        if self.traced.blocked_sessions:
            waited = seconds(self.traced.blocked_s or 0.0)
            yield f"{counted(self.traced.blocked_sessions, 'session')} waited {waited} in all"


def _named(action: Action) -> tuple[str, ...]:
    return (action.relation,) if action.relation else ()


def _rows(state: TableState) -> str:
    return f"about {max(state.rows or 0.0, 0.0):,.0f} rows"


def _lasted(duration_s: float | None) -> str:
    return "its end was not seen" if duration_s is None else f"it took {seconds(duration_s)}"


def seconds(value: float) -> str:
    """A duration as a person reads it."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


@dataclass(frozen=True)
class Rule:
    """One pattern: when it is bad, why, and what to write instead.

    `id` is a public contract: people write it to ignore the rule. `instead` is the safe form in a phrase,
    `safe` gives it as Alembic code for an action's names; `example` are placeholder names for the
    documentation. `source` is PostgreSQL's own page. `matches` looks at a statement that was measured.
    """

    id: str
    title: str
    condition: str
    consequence: str
    instead: str
    source: str
    example: Action
    safe: Callable[[Action], str]
    matches: Callable[[Case], Iterable[Match]]


def asks(
    *verbs: str,
    modes: tuple[str, ...] = READS_BLOCKED,
    having: frozenset[str] = frozenset(),
    without: frozenset[str] = frozenset(),
    also: Callable[[Case, Action], bool] | None = None,
    weight: str = "measured",
    gently: str = "measured",
) -> Callable[[Case], Iterator[Match]]:
    """A predicate: the text asks for one of `verbs`, and the tables it names were locked in one of `modes`.

    All flags of `having` and none of `without` are on the action; `also` decides on what else was measured.
    `gently` is the weight where the statement was careful (`Case.gentle`): measured, note, or nothing for
    what can be done no better.
    """

    def matches(case: Case) -> Iterator[Match]:
        for action in case.actions(*verbs):
            if not having <= action.flags or without & action.flags:
                continue
            if also is not None and not also(case, action):
                continue
            sure = not {"if_exists", "if_not_exists"} & action.flags
            held = case.held(action.relation, *modes, sure=sure)
            if held is None:
                continue
            weighs = gently if weight == "measured" and case.gentle(held) else weight
            if weighs != "nothing":
                yield case.match(action, held, weight=weighs)

    return matches
