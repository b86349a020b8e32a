"""Writes under way are booked once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from harness.core.operations import OperationKind, OperationOutcome
from harness.load import writes
from harness.load.writes import Write, begin, book, book_unanswered

OK, FAIL, INDETERMINATE = OperationOutcome.OK, OperationOutcome.FAIL, OperationOutcome.INDETERMINATE


class Booked:
    """A recorder that remembers outcomes, and of which writes the shapes were told."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[uuid.UUID, OperationOutcome]] = []
        self.shapes = self
        self.told: list[tuple[uuid.UUID, bool]] = []

    def operation(self, *booked: Any) -> None:
        self.outcomes.append((booked[1], booked[-1]))

    def wrote(self, key: uuid.UUID, _at: float, *, certain: bool) -> None:
        self.told.append((key, certain))


@pytest.fixture
def booked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Booked]:
    booked = Booked()
    monkeypatch.setattr(writes, "recorder", booked)
    yield booked
    book_unanswered()


def a_write() -> Write:
    return Write("account-0001", uuid.uuid4(), OperationKind.UPDATE, 2, 1.0)


@pytest.mark.parametrize(("outcome", "told"), [(OK, [True]), (INDETERMINATE, [False]), (FAIL, [])])
def test_its_outcome_is_in_the_ledger_and_what_may_have_happened_in_the_shapes(
    booked: Booked, outcome: OperationOutcome, told: list[bool]
) -> None:
    write = a_write()
    begin(write)
    book(write, outcome)
    assert booked.outcomes == [(write.key, outcome)]
    assert booked.told == [(write.key, certain) for certain in told]


def test_one_still_unanswered_may_have_happened_and_an_answer_comes_too_late(booked: Booked) -> None:
    answered, late = a_write(), a_write()
    begin(answered)
    begin(late)
    book(answered, OK)
    book_unanswered()
    book(late, OK)
    assert booked.outcomes == [(answered.key, OK), (late.key, INDETERMINATE)]
