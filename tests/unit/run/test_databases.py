"""Which databases are guarded, and which are held while a run lasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.db.guard import Identity
from harness.db.url import DatabaseUrl
from harness.errors import GuardError, UsageError
from harness.run.databases import check_databases, lock_further

SHOP = "postgresql://a@127.0.0.1/shop"
BILLING = "postgresql://a@127.0.0.1/billing"

SEVERAL = Plan(
    host="http://127.0.0.1:8000",
    migrations=(
        MigrationPlan("shop", "alembic.ini", database_url=SHOP),
        MigrationPlan("billing", "alembic.ini", database_url=BILLING),
    ),
)


@pytest.mark.parametrize("placebo", [False, True])
def test_a_database_that_only_a_migration_names_is_guarded_in_a_placebo_too(placebo: bool) -> None:
    """It is the service's, which is observed, locked and prepared without any migration."""
    plan = replace(SEVERAL, placebo=placebo)
    with pytest.raises(GuardError, match=r"database shop .* was not started by the harness"):
        check_databases(replace(plan, allow_database=("billing",)))
    check_databases(replace(plan, allow_database=("shop", "billing")))


def test_a_placebo_does_not_ask_for_the_databases_that_it_leaves_alone() -> None:
    check_databases(replace(SEVERAL, placebo=True, allow_database=("shop",)))


def test_a_replica_is_guarded_like_its_database() -> None:
    plan = replace(SEVERAL, replica_url="postgresql://a@10.1.2.3/shop", allow_database=("shop", "billing"))
    with pytest.raises(GuardError, match=r"host 10\.1\.2\.3, which is not this machine"):
        check_databases(plan)
    check_databases(replace(plan, allow_host=("10.1.2.3",)))


class Locks:
    """Run locks by the name of their database, one of which somebody else may hold."""

    def __init__(self, taken: str = "") -> None:
        self.taken, self.held, self.released = taken, list[str](), list[str]()

    def acquire(self, url: DatabaseUrl, _run_id: str) -> Locks:
        name = url.resolved().dbname
        if name == self.taken:
            raise UsageError(f"Another run is using the database {name}.", "Wait.")
        self.held.append(name)
        return self

    def release(self) -> None:
        self.released.append(self.held[len(self.released)])


SHOP_ID, BILLING_ID, ARCHIVE_ID, LOG_ID = (
    Identity("1", oid, 180000, name) for oid, name in enumerate(("shop", "billing", "archive", "log"), 5)
)


def test_what_several_may_go_to_besides_their_own_is_locked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    locks = Locks()
    monkeypatch.setattr("harness.run.databases.RunLock", locks)
    allowed = [(SHOP, (SHOP_ID, ARCHIVE_ID)), (BILLING, (BILLING_ID, ARCHIVE_ID, LOG_ID))]
    with lock_further(allowed, "run"):
        assert (locks.held, locks.released) == (["archive", "log"], [])
    assert len(locks.released) == 2


def test_a_further_database_in_use_is_refused_and_none_stays_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    locks = Locks(taken="log")
    monkeypatch.setattr("harness.run.databases.RunLock", locks)
    with pytest.raises(UsageError, match="using the database log"):
        lock_further([(SHOP, (SHOP_ID, ARCHIVE_ID, LOG_ID))], "run")
    assert (locks.held, locks.released) == (["archive"], ["archive"])
