"""Reads during the run, judged by intervals: what a read showed against what could be there to be shown.

Operations that overlap in time have no order, so none of them makes a finding of another. What must be shown
is the newest version that was acknowledged, or that another read showed, before the read was invoked; what
may be shown is the newest that was sent before the read ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.core.operations import Bools, Column, OperationKind, OperationOutcome, OperationTable
from harness.core.samples import Floats, Ints

__all__ = ["Deletes", "Reads", "deletes_of", "judge_reads"]

_INSTANT_BITS = 36
"""Microseconds of 19 hours."""
_INSTANT = (1 << _INSTANT_BITS) - 1
_VERSION_BITS = 33
_VERSION = (1 << _VERSION_BITS) - 1


@dataclass(frozen=True)
class Deletes:
    """By record: the instant at which a delete was first sent, and that from which it is surely gone for
    good; infinity where there is none.
    """

    sent: Floats
    gone: Floats


def deletes_of(table: OperationTable) -> Deletes:
    """A record is gone from the end of an acknowledged delete on, unless a create may come after it."""
    count = len(table.keys)
    happened = table.outcome != OperationOutcome.FAIL
    delete = happened & (table.kind == OperationKind.DELETE)
    sent = np.full(count, np.inf)
    np.minimum.at(sent, table.record[delete], table.invoked[delete])
    sure = delete & (table.outcome == OperationOutcome.OK)
    begun, ended = np.full(count, -np.inf), np.full(count, -np.inf)
    np.maximum.at(begun, table.record[sure], table.invoked[sure])
    np.maximum.at(ended, table.record[sure], table.ended[sure])
    create = happened & (table.kind == OperationKind.CREATE)
    last = np.full(count, -np.inf)
    until = np.where(table.outcome == OperationOutcome.OK, table.ended, np.inf)
    np.maximum.at(last, table.record[create], until[create])
    return Deletes(sent, np.where(np.isfinite(begun) & (last <= begun), ended, np.inf))


@dataclass(frozen=True)
class Reads:
    """Rows of the operations: reads that showed an `older` version than they must, did not show (`absent`) or
    again showed (`deleted`) a record, showed a version `early` that nobody had sent, or a record `twice`.

    `must` is by row what a read had to show, -1 where that is nothing. `checked` counts the reads of which
    anything was known before. `seen` is by record the newest version that a read showed and that may be.
    """

    checked: int
    older: Ints
    absent: Ints
    deleted: Ints
    early: Ints
    twice: Ints
    must: Ints
    seen: Ints


def judge_reads(table: OperationTable, possible: Ints, accounts: Bools) -> Reads:
    """Judge the reads of those `accounts` (a flag for each) of which every operation is known; `possible` is
    by record the newest version that may have been written.
    """
    times = _Times.of(table)
    deletes = deletes_of(table)
    read = table.kind == OperationKind.READ
    true = table.version.astype(np.int64) <= possible[table.record]
    shows = read & (table.shown > 0)
    happened = table.writes & (table.kind != OperationKind.DELETE) & (table.outcome != OperationOutcome.FAIL)
    known = (happened & (table.outcome == OperationOutcome.OK)) | (shows & true)
    rows = np.flatnonzero(read & accounts[table.account])
    record, version, shown = table.record[rows], table.version[rows].astype(np.int64), table.shown[rows] > 0
    must = _newest_before(table, known, times.ended, rows, times.invoked, "left")
    may = _newest_before(table, happened, times.invoked, rows, times.ended, "right")
    stays = deletes.sent[record] > table.ended[rows]
    gone = deletes.gone[record] < table.invoked[rows]
    tells = shown & (version > 0)
    seen = np.zeros(len(table.keys), np.int64)
    np.maximum.at(seen, table.record[shows & true], table.version[shows & true])
    every = np.full(len(table), -1, np.int64)
    every[rows] = must
    return Reads(
        checked=int(np.count_nonzero((must >= 0) | gone)),
        older=rows[tells & (version < must)],
        absent=rows[~shown & stays & (must >= 0)],
        deleted=rows[shown & gone],
        early=rows[tells & (version > may)],
        twice=rows[table.shown[rows] > 1],
        must=every,
        seen=seen,
    )


@dataclass(frozen=True)
class _Times:
    """Instants in whole microseconds since the first of all."""

    invoked: Ints
    ended: Ints

    @classmethod
    def of(cls, table: OperationTable) -> _Times:
        zero = float(table.invoked.min()) if len(table) else 0.0
        return cls(_micros(table.invoked - zero), _micros(table.ended - zero))


def _micros(seconds: Floats) -> Ints:
    micros: Ints = np.clip(np.rint(seconds * 1e6), 0, _INSTANT).astype(np.int64)
    return micros


def _newest_before(
    table: OperationTable,
    evidence: Bools,
    evidence_at: Ints,
    rows: Ints,
    rows_at: Ints,
    side: Literal["left", "right"],
) -> Ints:
    """For each of `rows` the newest version in the `evidence` on its record that lies before it, -1 without
    any; `side` is `left` where evidence of the same instant is not before, `right` where it is.
    """
    own = np.flatnonzero(evidence)
    codes = _coded(table.record[own], evidence_at[own])
    order = np.argsort(codes, kind="stable")
    own, codes = own[order], codes[order]
    # The record in the high bits starts each record's maximum anew.
    newest = np.maximum.accumulate(
        (table.record[own].astype(np.int64) << _VERSION_BITS) | table.version[own].astype(np.int64)
    )
    places = np.searchsorted(codes, _coded(table.record[rows], rows_at[rows]), side) - 1
    found = np.full(len(rows), -1, np.int64)
    if not len(own):
        return found
    there = (places >= 0) & (codes[places] >> _INSTANT_BITS == table.record[rows])
    found[there] = newest[places[there]] & _VERSION
    return found


def _coded(record: Column, at: Ints) -> Ints:
    """One number to sort by record and then by instant: 27 bits of record are left."""
    return (record.astype(np.int64) << _INSTANT_BITS) | at
