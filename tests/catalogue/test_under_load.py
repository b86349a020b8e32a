"""Revisions of the catalogue under a small load: what the judge makes of bad forms and good ones."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.core.database_gates import lock_wait
from harness.core.events import Kind
from harness.core.facts import Facts, facts_of
from harness.core.review import advice_on
from harness.db.parsing import parse
from harness.db.server import EmbeddedServer
from tests.catalogue.cases import Case, check_advice, numbers
from tests.catalogue.load import IdleClient, load
from tests.catalogue.migrating import Upgrade

pytestmark = [pytest.mark.integration, pytest.mark.migration]

OBSERVED_WITHIN_S = 10.0
AFTERWARDS_S = 0.4  # for clients to meet the new schema


def test_the_judge(case: Case, server: EmbeddedServer, copy: str, tmp_path: Path) -> None:
    upgrade = Upgrade(copy, case.name, tmp_path)

    status, errors = under_load(upgrade, server.log)

    facts = facts_of(upgrade.record())
    if case.good:
        assert (status, dict(errors), waits(facts)) == ("ok", {}, "pass")
    else:
        check_flagged(case, facts, errors, status)


def under_load(upgrade: Upgrade, log: Path) -> tuple[str, Counter[str]]:
    """Upgrade while clients go on and one of them is idle in its transaction; returns how it ended and what
    SQLSTATEs the clients got."""
    observer = upgrade.observer(log)
    observer.start()
    idle = IdleClient(upgrade.database)
    try:
        assert wait_until((upgrade.directory.path / "observer.json").exists, OBSERVED_WITHIN_S)
        with load(upgrade.database) as errors:
            upgrade.note(Kind.PHASE, name="migrate")
            status = upgrade.run(observer.migrating, idle.step)
            time.sleep(AFTERWARDS_S)
        upgrade.note(Kind.PHASE, name="drain")
    finally:
        idle.close()
        observer.stop()
    upgrade.directory.close()
    return status, errors


def waits(facts: Facts) -> str:
    """The status of the gate `lock_wait`."""
    (gate,) = lock_wait(facts.record.plan)
    return gate.result(facts).status


def check_flagged(case: Case, facts: Facts, errors: Counter[str], status: str) -> None:
    [migration] = facts.migrations
    assert status == ("failed" if case.red == "failed" else "ok")
    if case.red == "waits":
        assert waits(facts) == "fail"
        assert facts.blame[0].statement in numbers(migration.trace, case.blamed)
    elif case.red not in ("", "failed"):
        assert errors[case.red] > 0
        caused = {found.statement for found in facts.errors if found.sqlstate == case.red}
        assert caused & {(case.name, n) for n in numbers(migration.trace, case.statement)}
    advice = advice_on(migration, parse, facts.record.schema_before, blame=facts.blame, watched=True)
    check_advice(case, migration.trace, advice)
