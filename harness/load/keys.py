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


_RANDOM = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
"""The bits of version and variant (RFC 9562 §5.4): to have `UUID` set them costs a fifth more."""


def new_key() -> uuid.UUID:
    """A random UUID."""
    return uuid.UUID(int=_random.getrandbits(128) & _RANDOM | _VERSION_4)
