"""Refusals that flags share: a number that is too small, a secret in a command."""

from __future__ import annotations

from harness.core.secrets import is_secret
from harness.errors import UsageError

__all__ = ["refuse_below", "refuse_secret_in"]


def refuse_below(flag: str, value: float, least: float, unit: str = "") -> None:
    """Raise UsageError, naming the flag, for a value below the least it may be."""
    if value < least:
        raise UsageError(f"{flag} is {value:g}{unit}.", f"It must be at least {least:g}{unit}.")


def refuse_secret_in(flag: str, command: str, remedy: str) -> None:
    """Raise UsageError for a command with a secret in it: its words are its process's arguments."""
    if is_secret(command):
        raise UsageError(
            f"{flag} holds a secret, which every user of its machine can read while it runs.",
            f"Take it out, and {remedy}.",
        )
