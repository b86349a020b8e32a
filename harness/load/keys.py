"""The keys by which the ledger knows records.

Random ones of the system's: a second run against the same database must not meet the first one's.
"""

from __future__ import annotations

import os
import uuid
from random import Random

__all__ = ["new_key"]

_random = Random()  # noqa: S311 - keys are no secrets, and asking the system for each takes three times as long
os.register_at_fork(after_in_child=_random.seed)


def new_key() -> uuid.UUID:
    """A random UUID (RFC 9562 §5.4)."""
    return uuid.UUID(int=_random.getrandbits(128), version=4)
