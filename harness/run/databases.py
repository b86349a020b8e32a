"""The databases that a run touches: guarded, told apart by what they are, and held while it lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from harness.core.plan import Plan
from harness.db.guard import Identity, RunLock, check_database, connect, identify, identify_further
from harness.db.url import DatabaseUrl
from harness.errors import UsageError

__all__ = [
    "Database",
    "check_databases",
    "check_replica",
    "check_started",
    "distinct",
    "find_database",
    "find_databases",
    "lock_databases",
    "lock_further",
]

UNNAMED = "migration"
"""The key of the database of an only migration that has no name, where the run's own is another."""


@dataclass(frozen=True)
class Database:
    """One database. Its `key` is "" for the run's own, else the name of the first migration on it; `further`
    are the others on its server that the plan's flags name.
    """

    key: str
    url: str = field(repr=False)
    identity: Identity
    further: tuple[Identity, ...] = ()

    def is_at(self, identity: Identity) -> bool:
        """Whether that is this very database, by whatever address it was reached."""
        ours = self.identity
        return (ours.system_identifier, ours.database_oid) == (
            identity.system_identifier,
            identity.database_oid,
        )


def _wanted(plan: Plan, own: str | None) -> Iterator[tuple[str, str]]:
    """The key and URL of the run's own database, if it has one, and of those its migrations name."""
    if own is not None:
        yield "", own
    for step in plan.steps if plan.migrates else ():
        if step.database_url is not None:
            yield step.name or UNNAMED, step.database_url


def check_databases(plan: Plan) -> None:
    """Refuse (GuardError) every database of the plan that its flags do not name, and a replica likewise."""
    wanted = [url for _, url in _wanted(plan, plan.service_database_url)]
    for url in dict.fromkeys([*wanted, *([plan.replica_url] if plan.replica_url else [])]):
        check_database(
            DatabaseUrl.parse(url),
            started_by_us=False,
            allow_hosts=plan.allow_host,
            allow_databases=plan.allow_database,
            allow_production=plan.allow_production,
        )


def check_started(url: str) -> None:
    """Refuse (GuardError) a database of ours whose URL leads elsewhere: by PGHOSTADDR, or a service file."""
    check_database(
        DatabaseUrl.parse(url),
        started_by_us=True,
        allow_hosts=(),
        allow_databases=(),
        allow_production=False,
    )


def find_databases(plan: Plan, own: str | None, run_id: str) -> dict[str, Database]:
    """The databases by the URLs that lead to them, the run's `own` first; two URLs may lead to one.

    Raises SetupError when one does not answer.
    """
    found: dict[str, Database] = {}
    for key, text in _wanted(plan, own):
        if text not in found:
            database = find_database(plan, key, text, run_id)
            known = (one for one in found.values() if one.is_at(database.identity))
            found[text] = next(known, database)
    return found


def find_database(plan: Plan, key: str, url: str, run_id: str) -> Database:
    """The database that `url` leads to; raises SetupError when it does not answer."""
    with connect(DatabaseUrl.parse(url), f"migrate-under-load {run_id}") as connection:
        identity = identify(connection)
        further = identify_further(connection, plan.allow_database, allow_production=plan.allow_production)
    return Database(key, url, identity, further)


def check_replica(url: str, identity: Identity) -> None:
    """Raise UsageError when `url` leads to something else than a standby of the server of `identity`."""
    replica = DatabaseUrl.parse(url)
    with connect(replica, "mul-replica") as connection:
        found = identify(connection)
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if found.system_identifier != identity.system_identifier:
        raise UsageError(
            f"The replica {replica} is of another server than the database: their system identifiers differ.",
            "Mend MUL_REPLICA_URL.",
        )
    if row is None or not row[0]:
        raise UsageError(
            f"The replica {replica} is no standby: it does not replay anything.",
            "Give the URL of a streaming replica as MUL_REPLICA_URL, not the primary's.",
        )


def distinct(found: Mapping[str, Database]) -> tuple[Database, ...]:
    """Each of the databases that URLs lead to once, the run's own first."""
    return tuple({database.key: database for database in found.values()}.values())


def lock_databases(databases: Iterable[Database], run_id: str) -> ExitStack:
    """Hold the run lock of each database until the stack is closed; raises UsageError for one in use."""
    with ExitStack() as held:
        for database in databases:
            held.callback(RunLock.acquire(DatabaseUrl.parse(database.url), run_id).release)
        return held.pop_all()


def lock_further(allowed: Iterable[tuple[str, Sequence[Identity]]], run_id: str) -> ExitStack:
    """Likewise those that migrations may change besides their own; `allowed` are, for each migration, its URL
    and all that it may go to, its own first. Several that may go to the same share the lock.
    """
    further: dict[tuple[str, int], DatabaseUrl] = {}
    for text, [_, *others] in allowed:
        for other in others:
            key = other.system_identifier, other.database_oid
            further.setdefault(key, DatabaseUrl.parse(text).at(other.database))
    with ExitStack() as held:
        for url in further.values():
            held.callback(RunLock.acquire(url, run_id).release)
        return held.pop_all()
