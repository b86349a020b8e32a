"""What is measured of the ledger. What was found is evidence; nothing found is, where all was looked at."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.facts import Facts
from harness.core.measured import Measured
from harness.core.timeline import Window

__all__ = ["duplicates", "lost_writes", "stale_reads", "unexpected_writes", "wrong_totals"]


def lost_writes(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Hidden writes count: whoever made one was told it is there, and is not shown it. So do deletes whose
    record is there again.
    """
    ledger = facts.ledger
    if not ledger.acknowledged:
        return Measured(None, 0, "no write was acknowledged")
    found = ledger.lost + (ledger.hidden or 0) + ledger.resurrected
    return _as_far_as_known(facts, found, ledger.acknowledged)


def unexpected_writes(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the accounts that were read back."""
    return _of_accounts(facts, facts.ledger.unexpected)


def duplicates(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the accounts that were read back, in the final read and in every answer of the run."""
    return _of_accounts(facts, facts.ledger.duplicated)


def stale_reads(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the reads of records of which something was known before."""
    ledger = facts.ledger
    why = "; ".join(_unknown_operations(facts))
    if not ledger.reads:
        return Measured(None, 0, why or "no user read a record of its own back during the run")
    return Measured((float(ledger.stale) or None) if why else float(ledger.stale), ledger.reads, why)


def wrong_totals(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the reads that another of the same account could be compared with."""
    found = facts.totals
    if not found.checked:
        return Measured(None, 0, "no account's amounts were read twice")
    why = f"those of {len(found.unread)} accounts were not read at the end" if found.unread else ""
    return Measured((float(found.wrong) or None) if why else float(found.wrong), found.checked, why)


def _of_accounts(facts: Facts, found: int) -> Measured:
    read = facts.ledger.accounts_read
    return _as_far_as_known(facts, found, read) if read else Measured(None, 0, "no account was read back")


def _as_far_as_known(facts: Facts, found: int, samples: int) -> Measured:
    why = "; ".join((*_unread(facts), *_unknown_operations(facts)))
    return Measured((float(found) or None) if why else float(found), samples, why)


def _unread(facts: Facts) -> Iterator[str]:
    ledger = facts.ledger
    if ledger.unread:
        everybody = len(ledger.unread) + ledger.accounts_read
        yield f"{len(ledger.unread)} of {everybody} accounts were not read back"


def _unknown_operations(facts: Facts) -> Iterator[str]:
    if facts.ledger.unsure:
        yield f"the operations of {len(facts.ledger.unsure)} accounts are not all known"
    if facts.lost_workers:
        yield "a worker was lost with writes it had not yet told"
