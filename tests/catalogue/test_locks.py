"""Every revision of the catalogue under the tracer: what it locks, rewrites, reads and blocks, and what the
rules say of that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from harness.core.facts import migrations_in
from harness.core.review import advice_on
from harness.db.parsing import parse
from tests.catalogue.cases import Case, check_advice, did
from tests.catalogue.migrating import Upgrade

pytestmark = [pytest.mark.integration, pytest.mark.migration]


def test_what_a_revision_does_and_deserves(case: Case, copy: str, tmp_path: Path) -> None:
    relations = relations_of(copy)
    upgrade = Upgrade(copy, case.name, tmp_path)

    status = upgrade.run()

    record = upgrade.record()
    [migration] = migrations_in(record)
    assert migration.why_untraced == ""
    assert status == ("failed" if case.red == "failed" else "ok")
    seen = did(migration.trace, relations)
    if migration.trace.slow:  # the tracer had no time to ask for scans, and says so
        seen = replace(seen, scans=case.does.scans)
    assert seen == case.does
    check_advice(case, migration.trace, advice_on(migration, parse, record.schema_before))


def relations_of(database: str) -> list[str]:
    """The tables, views, indexes and sequences of the schema, before a case changes it."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
    return [str(name) for (name,) in rows]
