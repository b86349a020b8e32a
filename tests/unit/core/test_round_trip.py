"""The gates over an upgrade and its rollback: red for what did not come back, no pass for what is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.core.contents import Contents, Difference, TableChange
from harness.core.events import Event, Kind
from harness.core.facts import facts_of
from harness.core.gates import check_gates
from harness.core.migration_plan import MigrationPlan
from harness.core.plan import Plan
from harness.core.record import Part
from harness.core.round_trip import round_trips, round_trips_json
from harness.core.schema_state import SchemaState, TableState
from harness.core.verdict import GateResult
from harness.errors import UsageError
from tests.fix_record import KEPT, a_plan, a_record, a_schema, events

PLAN = a_plan(upgrade="0002", downgrade="0001")


def a_contents(*tables: TableChange, **changes: Any) -> Contents:
    """What was found of these tables, when the traffic had been looked at for 25 s of 80."""
    return replace(Contents(25.0, 80.0, tables or (KEPT,), {"documents_id_seq": (1000, 1200)}), **changes)


def judged(gate: str, contents: Contents | None = None, **changes: Any) -> GateResult:
    """The gate's result on a run that rolled back."""
    told: Mapping[str, Contents] = {} if contents is None else {"": contents}
    facts = facts_of(a_record(PLAN, contents=told, **changes))
    [found] = (one for one in check_gates(PLAN) if one.name == gate)
    return found.result(facts)


def test_what_came_back_whole_is_green() -> None:
    assert judged("rollback_schema").status == "pass"
    data = judged("rollback_data", a_contents())
    assert (data.status, data.observed, data.samples) == ("pass", 0.0, 1000)


def test_a_plan_without_a_rollback_has_no_such_gate() -> None:
    names = {gate.name for gate in check_gates(a_plan())}
    assert not names & {"rollback_schema", "rollback_data"}
    with pytest.raises(UsageError, match="--require rollback_data"):
        check_gates(a_plan(required=("rollback_data",)))


# the schema


def without_a_table() -> SchemaState:
    return a_schema(tables={}, indexes={})


def test_a_schema_that_did_not_come_back_is_red() -> None:
    found = judged("rollback_schema", schema_after_rollback=without_a_table())
    assert (found.status, found.observed) == ("fail", 1.0)
    assert found.why == "The table documents is gone."


def test_what_was_left_behind_is_told_and_green() -> None:
    tables = {**a_schema().tables, "labels": TableState("labels", "r", "shop")}
    record = a_record(PLAN, schema_after_rollback=a_schema(tables=tables))
    [trip] = round_trips_json(facts_of(record))
    assert [finding["kind"] for finding in trip["schema"]] == ["left_table"]
    assert judged("rollback_schema", schema_after_rollback=a_schema(tables=tables)).status == "pass"


def test_a_catalog_that_was_not_read_decides_nothing() -> None:
    assert judged("rollback_schema", schema_before=None).status == "inconclusive"
    found = judged("rollback_schema", schema_after_rollback=SchemaState(9.0, error="It said no."))
    assert (found.status, found.why) == (
        "inconclusive",
        "the catalog after the rollback was not read: It said no",
    )


# the rows


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (
            replace(KEPT, missing=Difference(500, 0, ("7", "8"))),
            "500 of 1,000 rows of documents are gone, such as 7, 8",
        ),
        (
            replace(KEPT, changed={"title": Difference(900, 3)}),
            "900 of 1,000 rows of documents have another title; traffic had done so to 3",
        ),
        (replace(KEPT, gone=("note",)), "the values of documents.note are gone"),
        (replace(KEPT, one_in=4, missing=Difference(900, 0)), "(one in 4 was looked at) are gone"),
    ],
)
def test_more_than_the_traffic_explains_is_red(lost: TableChange, why: str) -> None:
    found = judged("rollback_data", a_contents(lost))
    assert found.status == "fail"
    assert why in found.why


def test_as_much_as_the_traffic_explains_is_green() -> None:
    busy = replace(KEPT, changed={"title": Difference(90, 30)}, missing=Difference(40, 12))
    assert judged("rollback_data", a_contents(busy)).status == "pass"


def test_so_few_that_the_traffic_may_have_begun_with_it_decide_nothing() -> None:
    found = judged("rollback_data", a_contents(replace(KEPT, changed={"title": Difference(2, 0, ("5",))})))
    assert found.status == "inconclusive"
    assert found.why == (
        "2 of 1,000 rows of documents have another title, such as 5: so few that the traffic may have done it"
    )


@pytest.mark.parametrize(("now", "status"), [(1000, "pass"), (999, "fail"), (None, "fail")])
def test_a_sequence_may_not_go_back(now: int | None, status: str) -> None:
    assert judged("rollback_data", a_contents(sequences={"documents_id_seq": (1000, now)})).status == status
    assert judged("rollback_data", a_contents(sequences={"documents_id_seq": (None, now)})).status == "pass"


def test_what_was_not_read_decides_nothing() -> None:
    assert judged("rollback_data").why == "it was not read"
    assert judged("rollback_data", Contents(why_not="it was gone")).why == "it was gone"
    unread = judged("rollback_data", a_contents(KEPT, TableChange("logs", 9, why_not="it took too long")))
    assert (unread.status, unread.why) == ("inconclusive", "logs was not compared: it took too long")


def test_a_loss_is_red_whatever_else_was_not_read() -> None:
    tables = replace(KEPT, missing=Difference(900, 0)), TableChange("logs", 9, why_not="it took too long")
    assert judged("rollback_data", a_contents(*tables)).status == "fail"


# what can be held against each other


def told(plan: Plan, **ends: Any) -> tuple[Event, ...]:
    """The events of a run whose rollback ends otherwise."""
    return tuple(
        replace(event, data={**event.data, **ends})
        if event.kind == Kind.MIGRATION_END and event.data["episode"] == 2
        else event
        for event in events(plan)
    )


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ({"revisions_after": ["0000"]}, "the rollback ends at 0000, and the upgrade began at 0001"),
        ({"revisions_after": []}, "the rollback ends at base, and the upgrade began at 0001"),
        ({"revisions_after": None}, "where the upgrade began, or its rollback ended, is not known"),
        ({"status": "failed"}, "the rollback did not end ok"),
    ],
)
def test_only_a_rollback_to_where_the_upgrade_began_is_held_against_it(
    ends: dict[str, Any], why: str
) -> None:
    for gate in ("rollback_schema", "rollback_data"):
        found = judged(
            gate,
            a_contents(replace(KEPT, missing=Difference(900, 0))),
            events=told(PLAN, **ends),
            schema_after_rollback=without_a_table(),
        )
        assert (found.status, found.why) == ("inconclusive", why)


def test_a_run_that_never_came_to_its_rollback_decides_nothing() -> None:
    before = [event for event in events(PLAN) if event.data.get("episode") != 2]
    found = judged("rollback_data", a_contents(), events=tuple(before))
    assert (found.status, found.why) == ("inconclusive", "the run never came to phase rollback")


def of_two(plan: Plan) -> tuple[Event, ...]:
    """The events of a run of two migrations on one database, of which the second one alone is rolled back."""
    log = []
    for event in events(PLAN):
        number = event.data.get("episode")
        if number is None:
            log.append(event)
        elif number == 2:
            log.append(replace(event, data={**event.data, "episode": 3, "name": "b"}))
        else:
            log.append(replace(event, data={**event.data, "name": "a"}))
            log.append(replace(event, at=event.at + 0.001, data={**event.data, "episode": 2, "name": "b"}))
    return tuple(log)


def test_of_several_all_on_a_database_must_come_back() -> None:
    plan = a_plan(migrations=(MigrationPlan("a"), MigrationPlan("b", downgrade="0001")))
    part = Part(before=a_schema(), after=a_schema(), before_rollback=a_schema(), after_rollback=a_schema())
    facts = facts_of(a_record(plan, events=of_two(plan), parts={"a": part, "b": part}))
    [trip] = round_trips(facts)
    assert trip.why_not == "the upgrade of a was not rolled back"


def test_the_verdict_tells_every_table() -> None:
    lost = replace(KEPT, changed={"title": Difference(900, 3)}, missing=Difference(1, 0))
    unread = TableChange("logs", 9, why_not="permission denied")
    record = a_record(PLAN, contents={"": a_contents(lost, unread)})
    [trip] = round_trips_json(facts_of(record))
    assert [table["missing"] for table in trip["tables"]] == [1, None]
    assert trip["tables"][0]["changed"] == {"title": 900}
    assert [loss["red"] for loss in trip["losses"]] == [True, None]
    assert (trip["why_no_rows"], trip["why_no_schema"], trip["migration"]) == ("", "", None)
