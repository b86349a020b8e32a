"""Histories that a correct service could make give no finding; one fault planted into them always does."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from harness.core.ledger import Ledger, judge_ledger
from harness.core.operations import Operation, OperationKind, OperationOutcome
from harness.core.record import FinalRead, Found
from tests.fix_ledger import a_read, an_operation, found, operations_of

CREATE, UPDATE, DELETE, TRANSFER, READ = OperationKind
OK, FAIL, MAYBE = OperationOutcome
END = 1000.0


class History:
    """What users did with a service that carries each operation out at one instant between its begin and its
    end. Instants are whole seconds, and intervals overlap as they may.
    """

    def __init__(self, seed: int, size: int) -> None:
        self.random = Random(seed)
        self.operations: list[Operation] = []
        self.versions: dict[str, int] = {}  # of what is there
        self.deleted: list[str] = []
        for at in range(10, 10 + size):
            self._step(float(at))

    def _step(self, at: float) -> None:
        key = f"k{self.random.randrange(4)}"
        kind = self.random.choice([CREATE, UPDATE, UPDATE, READ, READ, READ, DELETE])
        if kind is READ:
            self._add(at, a_read(version := self.versions.get(key, 0), int(version > 0), key=key))
        elif kind is CREATE:
            self._write(at, f"new{len(self.operations)}" if key in self.versions else key, kind, 1)
        elif key in self.versions:
            self._write(at, key, kind, self.versions[key] + (kind is UPDATE))

    def _write(self, at: float, key: str, kind: OperationKind, version: int) -> None:
        if key in self.deleted:
            return  # no key is used twice
        outcome = self.random.choice([OK, OK, OK, OK, FAIL, MAYBE])
        self._add(at, an_operation(kind, version, outcome, key=key))
        if outcome is FAIL or (outcome is MAYBE and self.random.random() < 0.5):
            return
        self.versions[key] = version
        if kind is DELETE:
            del self.versions[key]
            self.deleted.append(key)

    def _add(self, at: float, operation: Operation) -> None:
        invoked, ended = at - self.random.randrange(8), at + self.random.randrange(8)
        self.operations.append(replace(operation, invoked=invoked, ended=ended))

    @property
    def shown(self) -> list[Found]:
        return [found(version, key) for key, version in self.versions.items()]

    def acknowledged(self, *kinds: OperationKind) -> list[Operation]:
        return [one for one in self.operations if one.outcome is OK and one.kind in kinds]

    def judged(self, shown: list[Found] | None = None, *more: Operation) -> Ledger:
        last = FinalRead("ada", END, tuple(self.shown if shown is None else shown))
        return judge_ledger(operations_of(*self.operations, *more), [last])


def faults(ledger: Ledger) -> dict[str, int]:
    kinds = ("lost", "hidden", "resurrected", "unexpected", "duplicated", "stale", "absent")
    return {kind: count for kind in kinds if (count := getattr(ledger, kind))}


histories = st.builds(History, st.integers(0, 2**32), st.integers(1, 80))
long_histories = st.builds(History, st.integers(0, 2**32), st.integers(40, 80))


@given(histories)
def test_a_correct_service_gives_no_finding_however_its_operations_overlap(history: History) -> None:
    assert faults(history.judged()) == {}


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_the_record_decides_nothing(history: History, random: Random) -> None:
    shown = history.shown[1:]
    judged = history.judged(shown)
    random.shuffle(history.operations)
    assert history.judged(shown) == judged


@given(long_histories, st.data())
def test_a_planted_loss_is_found(history: History, data: st.DataObject) -> None:
    sure = {one.key: one.version for one in history.acknowledged(CREATE, UPDATE)}
    dead = {one.key for one in history.operations if one.kind is DELETE and one.outcome is not FAIL}
    victims = [key for key in sure if key not in dead]
    assume(victims)
    victim = data.draw(st.sampled_from(victims))
    shown = [one for one in history.shown if one.key != victim]
    back_to = data.draw(st.integers(0, sure[victim] - 1))
    ledger = history.judged([*shown, Found(victim, back_to, "ada", back_to)] if back_to else shown)
    assert faults(ledger) == {"lost": 1}
    assert [one.key for one in ledger.offenders] == [victim]


@given(long_histories, st.data())
def test_a_planted_duplicate_is_found(history: History, data: st.DataObject) -> None:
    assume(history.shown)
    twice = data.draw(st.sampled_from(history.shown))
    assert faults(history.judged([*history.shown, twice])) == {"duplicated": 1}


@given(long_histories, st.data())
def test_a_planted_resurrection_is_found(history: History, data: st.DataObject) -> None:
    unsure = {one.key for one in history.operations if one.kind is CREATE and one.outcome is MAYBE}
    begun = {one.key: one.invoked for one in history.acknowledged(DELETE) if one.key not in unsure}
    created = {one.key: one.ended for one in history.acknowledged(CREATE)}
    victims = [key for key, at in begun.items() if created.get(key, 0.0) < at]
    assume(victims)
    victim = data.draw(st.sampled_from(victims))
    assert faults(history.judged([*history.shown, Found(victim, 1, "ada", 1)])) == {"resurrected": 1}


@given(long_histories, st.data())
def test_a_planted_stale_read_is_found(history: History, data: st.DataObject) -> None:
    """It begins after an acknowledged write and shows what was before; deletes come later, if ever."""
    deletes = [one for one in history.operations if one.kind is DELETE]
    writes = history.acknowledged(CREATE, UPDATE)
    victims = [
        one
        for one in writes
        if all(delete.invoked > one.ended + 0.5 for delete in deletes if delete.key == one.key)
    ]
    assume(victims)
    victim = data.draw(st.sampled_from(victims))
    older = data.draw(st.integers(0, victim.version - 1))
    at = victim.ended + 0.1
    planted = replace(a_read(older, int(older > 0), at=at), key=victim.key)
    assert faults(history.judged(None, planted)) == {"stale": 1}


@given(long_histories, st.data())
def test_a_planted_write_that_nobody_sent_is_found(history: History, data: st.DataObject) -> None:
    assume(history.shown)
    victim = data.draw(st.sampled_from(history.shown))
    strange = data.draw(st.sampled_from([replace(victim, version=99, content=99), found(1, "stranger")]))
    shown = [one for one in history.shown if one.key != strange.key]
    assert faults(history.judged([*shown, strange])) == {"unexpected": 1}
