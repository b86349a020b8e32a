"""What a session ends of its migrations."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.core.plan import MigrationPlan
from harness.db.guard import Identity
from harness.db.migrator import DatabaseMigrator
from harness.db.url import DatabaseUrl
from harness.run import session as module
from harness.run.databases import Database
from harness.run.preparation import Step

SHOP_URL = "postgresql://a@127.0.0.1/shop"


def test_its_backends_are_ended_in_every_database_that_it_may_go_to(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[str, list[int], list[str]]] = []

    def terminate(url: DatabaseUrl, pids: Sequence[int], databases: Sequence[str] = ()) -> int:
        ended.append((url.resolved().dbname, list(pids), list(databases)))
        return len(pids)

    monkeypatch.setattr(module, "terminate_backends", terminate)
    shop, archive = Identity("1", 5, 180000, "shop"), Identity("1", 6, 180000, "archive")
    migrator = DatabaseMigrator(SHOP_URL, script_location="migrations")
    step = Step(MigrationPlan(), Database("", SHOP_URL, shop), SHOP_URL, migrator, (shop, archive))
    module._terminate(step, [7, 8])
    assert ended == [("shop", [7, 8], ["shop", "archive"])]
