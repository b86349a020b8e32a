"""What revision files say to ignore: `# migrate-under-load: ignore RULE: reason`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.core.advice import RULES
from harness.db.parsing import ignored_in, ignored_without_reason
from harness.errors import UsageError

__all__ = ["check_ignored", "ignored_by"]


def check_ignored(files: Iterable[Path]) -> None:
    """Refuse (UsageError) a comment that gives no reason, or names no rule that there is."""
    known = [rule.id for rule in RULES]
    for file in files:
        for rule in (*ignored_in(file), *ignored_without_reason(file)):
            if rule not in known:
                raise UsageError(
                    f"{file.name} says to ignore {rule!r}: there is no such rule.",
                    f"Known rules: {', '.join(known)}.",
                )
        for rule in ignored_without_reason(file):
            raise UsageError(
                f"{file.name} says to ignore {rule}, but not why.",
                f"Write there: # migrate-under-load: ignore {rule}: the reason",
            )


def ignored_by(files: Iterable[Path]) -> dict[str, str]:
    """Rule → reason, of all these files."""
    return {rule: reason for file in files for rule, reason in ignored_in(file).items()}
