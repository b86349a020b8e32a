"""What a migration did to the schema in passing: each finding fires, and stays quiet on the good form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from harness.core.schema_diff import SchemaFinding, compare
from harness.core.schema_state import ConstraintState, IndexState, SchemaState, SequenceState, TableState

BUSY = TableState(
    "busy",
    "r",
    "shop",
    oid=10,
    bytes=50_000_000,
    acl={"app": ("INSERT", "SELECT")},
    columns={"id": "bigint not null", "tenant_id": "integer", "note": "text"},
    statistics=("id", "tenant_id"),
    visible_ratio=0.9,
)
GUARDED = replace(BUSY, row_security=True, policies={"own": "FOR ALL TO PUBLIC USING ((tenant_id = 1))"})
RECENT = TableState("recent", "v", "reporter", oid=20, reads=("busy",))
INDEX = IndexState(
    "busy_tenant", "busy", "CREATE UNIQUE INDEX busy_tenant ON public.busy USING btree (tenant_id)"
)
CHECK = ConstraintState("positive", "busy", "c", "CHECK ((qty > 0))")
KEY = ConstraintState("busy_tenant_fkey", "busy", "f", "FOREIGN KEY …", columns=("tenant_id",))
SERIAL = SequenceState("busy_id_seq", "integer", "busy.id", "integer", acl={"app": ("USAGE",)})


def a_state(
    *tables: TableState,
    indexes: Iterable[IndexState] = (),
    constraints: Iterable[ConstraintState] = (),
    sequences: Iterable[SequenceState] = (),
) -> SchemaState:
    return SchemaState(
        at=1.0,
        tables={table.name: table for table in tables},
        indexes={index.name: index for index in indexes},
        constraints={f"{one.table}.{one.name}": one for one in constraints},
        sequences={one.name: one for one in sequences},
    )


def tables(before: TableState, after: TableState, *others: TableState) -> dict[str, SchemaFinding]:
    """By kind, what is found when `before` becomes `after` beside the `others`."""
    return found(a_state(before, *others), a_state(after, *others))


def found(before: SchemaState, after: SchemaState) -> dict[str, SchemaFinding]:
    findings = compare(before, after)
    assert len({one.kind for one in findings}) == len(findings)
    return {one.kind: one for one in findings}


# indexes


def test_a_new_invalid_index_is_red() -> None:
    left = replace(INDEX, valid=False, ready=False, unique=True)

    (one,) = compare(a_state(), a_state(indexes=[left]))

    assert (one.kind, one.relation, one.red) == ("invalid_index", "busy_tenant", True)
    assert "was left INVALID" in one.what
    assert "IF NOT EXISTS" in one.what
    assert "23505" not in one.what
    assert one.remedy == (
        "DROP INDEX CONCURRENTLY busy_tenant; "
        "CREATE UNIQUE INDEX CONCURRENTLY busy_tenant ON public.busy USING btree (tenant_id);"
    )


def test_an_invalid_index_that_is_ready_still_enforces_uniqueness() -> None:
    left = replace(INDEX, valid=False, unique=True)

    assert "23505" in found(a_state(indexes=[INDEX]), a_state(indexes=[left]))["invalid_index"].what


def test_an_index_that_was_invalid_before_is_told_and_not_red() -> None:
    left = replace(INDEX, valid=False)

    one = found(a_state(indexes=[left]), a_state(indexes=[left]))["invalid_index"]

    assert not one.red
    assert "as it was before" in one.what


@pytest.mark.parametrize("name", ["busy_tenant_ccnew", "busy_tenant_ccold1", '"Busy_ccnew2"'])
def test_what_reindex_left_is_only_dropped(name: str) -> None:
    left = replace(INDEX, name=name, valid=False)

    assert found(a_state(), a_state(indexes=[left]))["invalid_index"].remedy == (
        f"DROP INDEX CONCURRENTLY {name};"
    )


def test_an_index_whose_definition_is_unknown_is_only_dropped() -> None:
    left = replace(INDEX, definition="", valid=False)

    assert found(a_state(), a_state(indexes=[left]))["invalid_index"].remedy == (
        "DROP INDEX CONCURRENTLY busy_tenant;"
    )


def test_an_index_of_a_partitioned_table_lacks_a_partitions() -> None:
    left = replace(INDEX, valid=False, partitioned=True)

    one = found(a_state(), a_state(indexes=[left]))["invalid_index"]

    assert "not every partition" in one.what
    assert "ATTACH PARTITION" in one.remedy


# constraints


def test_a_new_constraint_that_is_not_valid_wants_validating() -> None:
    one = found(a_state(), a_state(constraints=[replace(CHECK, valid=False)]))["not_valid_constraint"]

    assert not one.red
    assert one.remedy == "ALTER TABLE busy VALIDATE CONSTRAINT positive;"


@pytest.mark.parametrize("good", [CHECK, replace(CHECK, valid=False, enforced=False)])
def test_a_constraint_that_is_valid_or_not_enforced_is_fine(good: ConstraintState) -> None:
    assert compare(a_state(), a_state(constraints=[good])) == ()


def test_a_constraint_that_was_not_valid_before_is_not_the_migrations() -> None:
    old = a_state(constraints=[replace(CHECK, valid=False)])

    assert compare(old, old) == ()


def test_a_new_foreign_key_wants_an_index() -> None:
    one = found(a_state(), a_state(constraints=[KEY]))["foreign_key_without_index"]

    assert one.remedy == "CREATE INDEX CONCURRENTLY ON busy (tenant_id);"


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ({"columns": ("tenant_id",)}, True),
        ({"columns": ("tenant_id", "note")}, True),
        ({"columns": ("note", "tenant_id")}, False),
        ({"columns": ("",)}, False),
        ({"columns": ("tenant_id",), "valid": False}, False),
        ({"columns": ("tenant_id",), "table": "other"}, False),
        ({"columns": ("tenant_id",), "definition": "… (tenant_id) WHERE (tenant_id IS NOT NULL)"}, True),
        ({"columns": ("tenant_id",), "definition": "… (tenant_id) WHERE (note IS NULL)"}, False),
    ],
)
def test_which_index_serves_a_foreign_key(index: dict[str, Any], serves: bool) -> None:
    after = a_state(constraints=[KEY], indexes=[replace(INDEX, **index)])
    before = a_state(indexes=after.indexes.values())

    assert ("foreign_key_without_index" not in found(before, after)) is serves


def test_the_columns_of_an_index_may_come_in_another_order() -> None:
    key = replace(KEY, columns=("tenant_id", "note"))
    index = replace(INDEX, columns=("note", "tenant_id", "id"))

    assert compare(a_state(), a_state(constraints=[key], indexes=[index])) == ()


# owners and grants


def test_a_changed_owner() -> None:
    one = tables(BUSY, replace(BUSY, owner='"New Owner"'))["changed_owner"]

    assert one.what == 'busy belonged to shop and belongs to "New Owner" now.'
    assert one.remedy == "ALTER TABLE busy OWNER TO shop;"


def test_an_owner_is_past_row_security_that_is_not_forced() -> None:
    forced = replace(GUARDED, force_row_security=True)

    assert "app sees all its rows" in tables(GUARDED, replace(GUARDED, owner="app"))["changed_owner"].what
    assert "sees all" not in tables(forced, replace(forced, owner="app"))["changed_owner"].what


def test_lost_grants() -> None:
    one = tables(BUSY, replace(BUSY, acl={"app": ("SELECT",)}))["lost_grant"]

    assert "app had INSERT on busy" in one.what
    assert one.remedy == "GRANT INSERT ON busy TO app;"


def test_a_new_owner_needs_no_grants() -> None:
    assert set(tables(BUSY, replace(BUSY, owner="app", acl={}))) == {"changed_owner"}


def test_a_grant_on_a_column_goes_with_the_column() -> None:
    before = replace(BUSY, acl={"app": ("UPDATE (note)",)})
    dropped = {name: kind for name, kind in BUSY.columns.items() if name != "note"}

    assert tables(before, replace(BUSY, acl={}, columns=dropped)) == {}
    assert tables(before, replace(BUSY, acl={}))["lost_grant"].remedy == "GRANT UPDATE (note) ON busy TO app;"


def test_gained_grants() -> None:
    one = tables(BUSY, replace(BUSY, acl={**BUSY.acl, "PUBLIC": ("SELECT",)}))["gained_grant"]

    assert one.what == "Everybody (PUBLIC) has SELECT on busy now, and had not before."
    assert one.remedy == "REVOKE SELECT ON busy FROM PUBLIC;"


def test_grants_are_followed_through_a_rename() -> None:
    renamed = replace(BUSY, name="orders")

    assert tables(BUSY, renamed) == {}
    assert tables(BUSY, replace(renamed, acl={}))["lost_grant"].relation == "orders"


def test_a_serial_columns_new_sequence_without_the_grant() -> None:
    before = a_state(BUSY, sequences=[SERIAL])
    new = replace(SERIAL, name="busy_id_seq1", acl={})

    assert found(before, a_state(BUSY, sequences=[new]))["lost_grant"].remedy == (
        "GRANT USAGE ON SEQUENCE busy_id_seq1 TO app;"
    )
    assert compare(before, a_state(BUSY, sequences=[replace(new, identity=True)])) == ()


# row-level security


def test_row_security_off_and_a_policy_lost() -> None:
    after = tables(GUARDED, BUSY)

    assert after["row_security_off"].remedy == "ALTER TABLE busy ENABLE ROW LEVEL SECURITY;"
    assert after["lost_policy"].remedy == (
        "CREATE POLICY own ON busy FOR ALL TO PUBLIC USING ((tenant_id = 1));"
    )


@pytest.mark.parametrize(
    ("left", "says"), [({}, "nobody but the owner sees a row"), ({"staff": "FOR ALL"}, "Left are staff.")]
)
def test_a_lost_policy_says_what_is_left(left: dict[str, str], says: str) -> None:
    after = tables(GUARDED, replace(GUARDED, policies=left))

    assert set(after) == {"lost_policy"}
    assert says in after["lost_policy"].what


def test_row_security_no_longer_forced() -> None:
    after = tables(replace(GUARDED, force_row_security=True), GUARDED)

    assert after["row_security_unforced"].remedy == "ALTER TABLE busy FORCE ROW LEVEL SECURITY;"


def test_row_security_switched_on_is_fine() -> None:
    assert tables(BUSY, replace(GUARDED, force_row_security=True)) == {}


def test_a_view_that_took_a_tables_name_has_no_row_security_to_lose() -> None:
    view = TableState("busy", "v", "shop", oid=11, acl=BUSY.acl, options=("security_invoker=on",))

    assert compare(a_state(GUARDED), a_state(replace(GUARDED, name="busy_v1"), view)) == ()


def test_a_view_that_lost_security_invoker() -> None:
    before = replace(RECENT, options=("security_invoker=true", "check_option=local"))

    findings = compare(a_state(before), a_state(replace(RECENT, options=("security_invoker=false",))))

    assert [one.remedy for one in findings] == [
        "ALTER VIEW recent SET (check_option = local);",
        "ALTER VIEW recent SET (security_invoker = true);",
    ]
    assert "with the rights of reporter" in findings[1].what


@pytest.mark.parametrize(
    ("view", "table", "bypasses"),
    [
        (RECENT, GUARDED, False),
        (replace(RECENT, owner="shop"), GUARDED, True),
        (replace(RECENT, owner="shop"), BUSY, False),
        (replace(RECENT, owner="shop"), replace(GUARDED, force_row_security=True), False),
        (replace(RECENT, owner="shop", options=("security_invoker=yes",)), GUARDED, False),
        (replace(RECENT, owner_bypasses=True), replace(GUARDED, force_row_security=True), True),
        (replace(RECENT, owner="shop", kind="m"), GUARDED, True),
    ],
)
def test_which_view_goes_past_row_security(view: TableState, table: TableState, bypasses: bool) -> None:
    assert ("row_security_bypassed" in found(a_state(table), a_state(table, view))) is bypasses


def test_a_view_that_went_past_row_security_before_is_not_the_migrations() -> None:
    state = a_state(GUARDED, replace(RECENT, owner="shop"))

    assert compare(state, state) == ()


def test_a_view_goes_past_the_row_security_of_a_renamed_table_as_before() -> None:
    view = replace(RECENT, owner="shop")
    renamed = a_state(replace(GUARDED, name="orders"), replace(view, reads=("orders",)))

    assert compare(a_state(GUARDED, view), renamed) == ()


def test_a_views_new_owner_goes_past_row_security() -> None:
    after = tables(RECENT, replace(RECENT, owner="shop"), GUARDED)

    assert set(after) == {"changed_owner", "row_security_bypassed"}
    assert after["changed_owner"].remedy == "ALTER VIEW recent OWNER TO reporter;"


def test_a_partition_outside_its_parents_row_security() -> None:
    parent = replace(GUARDED, kind="p")
    partition = TableState("busy_2026", "r", "shop", oid=30, acl={"app": ("SELECT",)}, partition_of="busy")

    one = found(a_state(parent), a_state(parent, partition))["partition_without_row_security"]

    assert "app may use the partition directly" in one.what
    assert one.remedy == "ALTER TABLE busy_2026 ENABLE ROW LEVEL SECURITY;"
    for good in (replace(partition, acl={}), replace(partition, row_security=True)):
        assert compare(a_state(parent), a_state(parent, good)) == ()
    assert compare(a_state(parent, partition), a_state(parent, partition)) == ()


# tables and sequences


def test_a_table_swapped_for_another() -> None:
    old = replace(BUSY, name="busy_old")

    swapped = found(a_state(BUSY), a_state(replace(BUSY, oid=11), old))["swapped_table"]
    dropped = tables(BUSY, replace(BUSY, oid=11))["swapped_table"]

    assert "the old one is busy_old now" in swapped.what
    assert swapped.remedy == "TABLE busy_old EXCEPT TABLE busy;"
    assert "the old one is gone" in dropped.what
    assert dropped.remedy == ""


def test_views_and_foreign_keys_that_followed_the_old_table_are_named() -> None:
    key = replace(KEY, table="child", definition="FOREIGN KEY (busy_id) REFERENCES busy_old(id)", kind="f")
    after = a_state(
        replace(BUSY, oid=11), replace(BUSY, name="busy_old"), replace(RECENT, reads=("busy_old",))
    )
    keys = {"child.busy_tenant_fkey": key}
    before = replace(a_state(BUSY, RECENT), constraints=keys)

    one = found(before, replace(after, constraints=keys))["swapped_table"]

    assert one.what.endswith("Still tied to busy_old: child.busy_tenant_fkey, recent.")


def test_lost_statistics_name_the_columns() -> None:
    one = tables(BUSY, replace(BUSY, statistics=("tenant_id",)))["statistics_lost"]

    assert "busy (id)" in one.what
    assert one.remedy == "ANALYZE busy;"


@pytest.mark.parametrize(
    ("statistics", "columns"),
    [
        (("id", "tenant_id"), BUSY.columns),
        (("tenant_id",), {"tenant_id": "integer"}),
        (None, BUSY.columns),
    ],
)
def test_statistics_that_are_there_unknown_or_gone_with_the_column(
    statistics: tuple[str, ...] | None, columns: dict[str, str]
) -> None:
    assert tables(BUSY, replace(BUSY, statistics=statistics, columns=columns)) == {}


def test_lost_visibility() -> None:
    one = tables(BUSY, replace(BUSY, visible_ratio=0.0))["visibility_lost"]

    assert "90% of the pages" in one.what
    assert one.remedy == "VACUUM busy;"


@pytest.mark.parametrize("good", [{"visible_ratio": 0.4}, {"visible_ratio": None}, {"bytes": 8192}])
def test_visibility_kept_unknown_or_of_a_small_table(good: dict[str, Any]) -> None:
    assert tables(BUSY, replace(BUSY, **{"visible_ratio": 0.0, **good})) == {}


def test_a_sequence_narrower_than_its_column() -> None:
    wide = replace(SERIAL, column_type="bigint")

    one = found(a_state(sequences=[SERIAL]), a_state(sequences=[wide]))["narrow_sequence"]

    assert "2,147,483,647" in one.what
    assert one.remedy == "ALTER SEQUENCE busy_id_seq AS bigint;"
    assert compare(a_state(sequences=[wide]), a_state(sequences=[wide])) == ()
    assert compare(a_state(sequences=[SERIAL]), a_state(sequences=[replace(wide, type="bigint")])) == ()
    assert compare(a_state(), a_state(sequences=[replace(SERIAL, column_type="numeric")])) == ()


# the whole


def test_the_same_schema_twice() -> None:
    state = a_state(GUARDED, RECENT, indexes=[INDEX], constraints=[CHECK, KEY], sequences=[SERIAL])

    assert compare(state, state) == ()


def test_what_is_new_or_dropped_on_purpose_is_no_finding() -> None:
    state = a_state(GUARDED, indexes=[INDEX], constraints=[CHECK], sequences=[SERIAL])

    assert compare(a_state(), state) == ()
    assert compare(state, a_state()) == ()


def test_an_unknown_state_is_not_compared() -> None:
    left = a_state(indexes=[replace(INDEX, valid=False)])

    assert compare(None, left) == ()
    assert compare(left, None) == ()
    assert compare(SchemaState(at=1.0, error="refused"), left) == ()
    assert compare(a_state(), replace(left, error="refused")) == ()


def test_red_ones_come_first_then_by_relation() -> None:
    other = replace(BUSY, name="accounts", oid=12)
    before = a_state(BUSY, other)
    after = a_state(
        replace(BUSY, owner="app"),
        replace(other, owner="app"),
        indexes=[replace(INDEX, name="zz", valid=False)],
    )

    findings = compare(before, after)

    assert [one.relation for one in findings] == ["zz", "accounts", "busy"]
    assert compare(before, after) == findings
