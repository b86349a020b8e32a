"""The channels by which the service's processes hear of one another: of NOTIFY, or of the cache."""

from __future__ import annotations

__all__ = ["CHANGES", "KEYS", "MIGRATION"]

CHANGES = "target_changes"
"""The accounts' own changes."""

MIGRATION = "target_migration"
"""The migration's status."""

KEYS = "target_keys"
"""That the signing key is another one."""
