"""Rows before and after by their hashes: what differs, how much of it the traffic explains."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.contents import (
    Contents,
    Difference,
    TableContents,
    Traffic,
    compare_tables,
    contents,
    traffic_on,
)

QUIET = Traffic({}, 0)


def a_table(
    rows: Mapping[int, Sequence[int]], columns: Sequence[str] = ("title",), shown: bool = True
) -> TableContents:
    """A table of such hashes by the hashes of its keys, in the mapping's order."""
    packed = b"".join(struct.pack(f">{1 + len(own)}q", key, *own) for key, own in rows.items())
    kinds = dict.fromkeys(columns, "text")
    return TableContents.of("notes", len(rows), 1, kinds, [str(k) for k in rows] if shown else (), packed)


def test_the_same_rows_in_any_order_are_the_same() -> None:
    before, after = a_table({3: [30], -1: [10], 2: [20]}), a_table({2: [20], 3: [30], -1: [10]})
    found = compare_tables(before, after, QUIET)
    assert (found.rows_before, found.rows_after, found.compared) == (3, 3, 3)
    assert (found.missing, found.changed, found.gone) == (Difference(0, 0), {}, ())


def test_a_row_that_came_is_no_loss() -> None:
    found = compare_tables(a_table({1: [10]}), a_table({1: [10], 2: [20]}), QUIET)
    assert (found.missing.rows, found.rows_after) == (0, 2)


def test_a_row_that_went_is_missing() -> None:
    found = compare_tables(a_table({1: [10], 2: [20]}), a_table({2: [20]}), Traffic({}, 7))
    assert found.missing == Difference(1, 7, ("1",))
    assert compare_tables(a_table({1: [10]}), a_table({}), QUIET).missing.rows == 1


def test_each_column_that_differs_is_told_with_what_the_traffic_did() -> None:
    before = a_table({1: [10, 5], 2: [20, 5]}, ("title", "size"))
    after = a_table({1: [5, 11], 2: [5, 20]}, ("size", "title"))  # a column that came back stands elsewhere
    found = compare_tables(before, after, Traffic({"title": 3}, 0))
    assert found.changed == {"title": Difference(1, 3, ("1",))}


def test_a_column_that_is_gone_or_of_another_type_is_not_compared() -> None:
    before = a_table({1: [10, 5]}, ("title", "size"))
    after = a_table({1: [11]}, ("title",))
    assert compare_tables(before, after, QUIET).gone == ("size",)
    other = TableContents.of("notes", 1, 1, {"title": "character varying", "size": "text"}, (), bytes(24))
    assert compare_tables(before, other, QUIET).gone == ("title",)


def test_keys_that_are_not_to_be_shown_are_not() -> None:
    assert compare_tables(a_table({1: [10]}, shown=False), a_table({}), QUIET).missing == Difference(1, 0)


def test_what_the_traffic_did_is_learned_from_rows_written_since() -> None:
    before = a_table({1: [10, 5], 2: [20, 5], 3: [30, 5], 4: [40, 5]}, ("title", "size"))
    touched = a_table({1: [11, 5], 2: [20, 5], 9: [90, 5]}, ("title", "size"))  # 4 was removed, 9 came
    assert traffic_on(before, touched, untouched=1) == Traffic({"title": 1, "size": 0}, 1)


def test_the_traffic_is_taken_to_go_on_at_its_rate() -> None:
    told = Contents(launched_at=30.0, ended_at=90.0)
    assert told.likely(0) == 30
    assert told.likely(100) == 2 * 135 * 3
    assert Contents(30.0, 30.0).likely(100) == 270


rows = st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), min_size=1)


@given(rows, st.data())
def test_a_planted_loss_is_always_found_and_nothing_else(told: dict[int, int], data: st.DataObject) -> None:
    before = {key: [value] for key, value in told.items()}
    keys = st.sets(st.sampled_from(sorted(told)))
    removed, changed = data.draw(keys), data.draw(keys)
    after = {key: [own[0] ^ 1 if key in changed else own[0]] for key, own in before.items()}
    after = {key: own for key, own in after.items() if key not in removed}

    found = compare_tables(a_table(before), a_table(after), QUIET)

    assert found.missing.rows == len(removed)
    assert found.changed.get("title", Difference(0, 0)).rows == len(changed - removed)


@pytest.mark.parametrize("why_not", ["", "it could not be read in time"])
def test_it_survives_its_file(why_not: str) -> None:
    change = compare_tables(a_table({1: [10], 2: [20]}), a_table({1: [11]}), Traffic({"title": 2}, 1))
    told = Contents(30.0, 90.0, (change,), {"notes_id_seq": (7, None)}, why_not)
    assert contents(json.loads(json.dumps(asdict(told)))) == told
