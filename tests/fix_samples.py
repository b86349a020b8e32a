"""Tables of samples: what users were answered, without users."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from harness.core.samples import Outcome, SampleTable

ENDPOINT = "GET /documents"


def samples(
    rows: Iterable[tuple[float, float] | tuple[float, float, Outcome] | tuple[float, float, Outcome, str]],
) -> SampleTable:
    """Samples of (intended start, latency[, outcome[, endpoint]]), in order of their start."""
    full = sorted(((*row, *(Outcome.OK, ENDPOINT)[len(row) - 2 :]) for row in rows), key=lambda row: row[0])
    names = tuple(dict.fromkeys(row[3] for row in full))
    latency = np.array([row[1] for row in full], float)
    return SampleTable(
        np.array([row[0] for row in full], float),
        latency,
        latency,
        np.array([names.index(row[3]) for row in full], np.int64),
        np.array([int(row[2]) for row in full], np.int64),
        np.zeros(len(full), np.int64),
        names,
        ("",),
        np.zeros(len(full), np.int64),
        ("w1",),
        (0.0,),
    )


@lru_cache(maxsize=64)
def steady(
    start: float = 0.0,
    end: float = 52.0,
    rate: float = 100.0,
    latency: float = 0.02,
    outcome: Outcome = Outcome.OK,
    endpoint: str = ENDPOINT,
) -> SampleTable:
    """`rate` requests per second, all alike. The tables are shared: nobody may write into them."""
    count = round((end - start) * rate)
    table = SampleTable(
        start + np.arange(count) / rate,
        np.full(count, latency),
        np.full(count, latency),
        np.zeros(count, np.int64),
        np.full(count, int(outcome), np.int64),
        np.zeros(count, np.int64),
        (endpoint,) if count else (),
        ("",),
        np.zeros(count, np.int64),
        ("w1",),
        (0.0,),
    )
    for column in columns(table):
        column.setflags(write=False)
    return table


def columns(table: SampleTable) -> list[np.ndarray[Any, Any]]:
    """What a table holds for each sample."""
    values = (getattr(table, field.name) for field in fields(table))
    return [value for value in values if isinstance(value, np.ndarray)]


def joined(*tables: SampleTable) -> SampleTable:
    """The samples of all tables in one, in order of their start."""
    names = tuple(dict.fromkeys(name for table in tables for name in table.endpoints))
    endpoint = [np.array([names.index(t.endpoints[n]) for n in t.endpoint], np.int64) for t in tables]
    whole = SampleTable(
        np.concatenate([t.at for t in tables]),
        np.concatenate([t.latency for t in tables]),
        np.concatenate([t.service for t in tables]),
        np.concatenate(endpoint),
        np.concatenate([t.outcome for t in tables]),
        np.concatenate([t.cause for t in tables]),
        names,
        ("",),
        np.concatenate([t.worker for t in tables]),
        ("w1",),
        (0.0,),
    )
    return whole.where(np.argsort(whole.at, kind="stable"))


def without(table: SampleTable, start: float, end: float) -> SampleTable:
    """The samples that were not due in `[start, end)`."""
    return table.where((table.at < start) | (table.at >= end))
