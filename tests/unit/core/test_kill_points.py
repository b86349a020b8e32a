"""Where a migration can be killed, from what a rehearsal told."""

from __future__ import annotations

from typing import Any

from harness.core.kill_points import halfway, points_of
from harness.core.trace import Trace
from harness.core.trace_fold import build
from tests.fix_trace import statement_records, trace_of


def _version(k: int, sql: str, at: float) -> list[dict[str, Any]]:
    told = statement_records(sql, at, at + 0.1, k=k)
    told[0]["step"] = "version"
    return told[:2]


def _trace(*sqls: str, autocommit: bool = False) -> Trace:
    told = [
        statement_records(sql, 27.0 + k, 27.5 + k, k=k, autocommit=autocommit)
        for k, sql in enumerate(sqls, 1)
    ]
    read = _version(90, "SELECT version_num FROM alembic_version", 60.0)
    written = _version(91, "UPDATE alembic_version SET version_num='0002'", 61.0)
    return build(trace_of(*told, read, written))


def test_each_statement_has_a_place_before_and_one_during_and_the_version_one_more() -> None:
    points = points_of(_trace("ALTER TABLE a ADD b int", "ALTER TABLE a ADD c int"))
    assert [point.halt for point in points] == [
        "migration 1 before",
        "migration 1 during",
        "migration 2 before",
        "migration 2 during",
        "version 1 during",
    ]
    assert {point.represents for point in points} == {1}
    assert {point.revision for point in points} == {"0002"}


def test_of_statements_alike_the_first_middle_and_last_stand_for_all() -> None:
    batches = [f"UPDATE a SET b = 1 WHERE id BETWEEN {n} AND {n + 9}" for n in range(7)]
    before = [point for point in points_of(_trace("CREATE TABLE a ()", *batches)) if point.point == "before"]
    assert [(point.number, point.represents) for point in before] == [(1, 1), (2, 1), (5, 5), (8, 1)]
    assert sum(point.represents for point in before) == 8


def test_three_alike_are_all_walked() -> None:
    batches = [f"UPDATE a SET b = {n}" for n in range(3)]
    assert [p.number for p in points_of(_trace(*batches)) if p.point == "before"] == [1, 2, 3]


def test_a_place_knows_whether_it_is_in_a_transaction() -> None:
    assert points_of(_trace("CREATE TABLE a ()"))[0].in_transaction is True
    assert (
        points_of(_trace("CREATE INDEX CONCURRENTLY i ON a (b)", autocommit=True))[0].in_transaction is False
    )


def test_halfway_is_the_statement_before_which_half_were_sent() -> None:
    assert halfway(_trace("A")) == 1
    assert halfway(_trace("A", "B")) == 2
    assert halfway(_trace("A", "B", "C", "D", "E")) == 3
