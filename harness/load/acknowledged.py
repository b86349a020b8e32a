"""What users created for sure, which the final read asks for."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache

from harness.core.declaration import Declaration

__all__ = ["Acknowledged", "acknowledged"]


@dataclass
class Acknowledged:
    """The records of one resource that an account created for sure and did not try to delete, by the ledger's
    key; `shown` once an answer about one of them bore its canary. Of those that are `unidentified` no answer
    told the id.
    """

    ids: dict[uuid.UUID, str] = field(default_factory=dict)
    shown: bool = False
    unidentified: int = 0


@lru_cache(maxsize=1)
def acknowledged(run_id: str) -> defaultdict[tuple[str, Declaration], Acknowledged]:  # noqa: ARG001 - the cache's key
    """What this process's users created in one run, by account and resource."""
    return defaultdict(Acknowledged)
