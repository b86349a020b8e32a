"""The keys by which the ledger knows records.

Their randomness is the system's, never a run's seed: a second run against the same database must not meet the
first one's.
"""

from __future__ import annotations

import os
import uuid
from random import Random

__all__ = ["new_key"]

_random = Random()  # noqa: S311 - no secrets, and to ask the system for each key costs half as much again
os.register_at_fork(after_in_child=_random.seed)  # processes that fork would repeat one another's keys


def new_key() -> uuid.UUID:
    """A random UUID (RFC 9562 §5.4)."""
    return uuid.UUID(int=_random.getrandbits(128), version=4)
