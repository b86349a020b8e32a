"""What is measured of the ledger. What was found is evidence; nothing found is, where all was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.core.counted import counted
from harness.core.facts import Facts
from harness.core.ledger import Offender
from harness.core.measured import Measured
from harness.core.stale_cache import old_shapes
from harness.core.timeline import Window

__all__ = ["duplicates", "lost_writes", "stale_cache", "stale_reads", "unexpected_writes", "wrong_totals"]


def lost_writes(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Hidden writes count: whoever made one was told it is there, and is not shown it. So do deletes whose
    record is there again.
    """
    ledger = facts.ledger
    found = ledger.lost + (ledger.hidden or 0) + ledger.resurrected
    if not ledger.acknowledged and not found:
        return Measured(None, 0, "no write was acknowledged")
    unknown = (*_unread(facts), *_unknown_operations(facts))
    told = _first(ledger.offenders, "lost", "hidden", "resurrected")
    return _measured(found, ledger.acknowledged, told, unknown)


def unexpected_writes(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the accounts that were read back."""
    return _of_accounts(facts, facts.ledger.unexpected, "unexpected")


def duplicates(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the accounts that were read back, in the final read and in every answer of the run."""
    return _of_accounts(facts, facts.ledger.duplicated, "duplicated")


def stale_reads(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the reads of records of which something was known before."""
    ledger = facts.ledger
    unknown = tuple(_unknown_operations(facts))
    if not ledger.reads:
        why = "; ".join(unknown) or "no user read a record of its own back during the run"
        return Measured(None, 0, why)
    return _measured(ledger.stale, ledger.reads, _first(ledger.offenders, "stale"), unknown)


def stale_cache(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the reads of records of the users' own."""
    found, reads = old_shapes(facts), facts.ledger.reads
    answers = sum(one.answers for one in found)
    if not facts.record.shapes:
        return Measured(None, 0, "nothing is on record of the shapes of answers about users' own records")
    lost = "a worker was lost, and what its users were shown" if facts.lost_workers else ""
    return _measured(answers, reads, next((one.told for one in found if one.answers), ""), (lost,))


def wrong_totals(facts: Facts, _window: Window, _endpoint: str | None) -> Measured:
    """Of the reads that another of the same account could be compared with."""
    found = facts.totals
    if not found.checked:
        return Measured(None, 0, "no account's amounts were read twice")
    unread = (
        f"those of {counted(len(found.unread), 'account')} were not read at the end" if found.unread else ""
    )
    return _measured(found.wrong, found.checked, _first(found.offenders, "total"), (unread,))


def _of_accounts(facts: Facts, found: int, kind: str) -> Measured:
    read = facts.ledger.accounts_read
    if not read and not found:
        return Measured(None, 0, "no account was read back")
    unknown = (*_unread(facts), *_unknown_operations(facts))
    return _measured(found, read, _first(facts.ledger.offenders, kind), unknown)


def _measured(found: int, samples: int, told: str, unknown: Iterable[str]) -> Measured:
    """What was found, with its first example; where nothing was, only if all was looked at."""
    left_out = [text for text in unknown if text]
    why = "; ".join([told, *left_out] if found else left_out)
    return Measured(float(found) if found or not left_out else None, max(samples, found), why)


def _first(offenders: Iterable[Offender], *kinds: str) -> str:
    """The first of some kinds, for a sentence."""
    own = (f"{one.key} of {one.account}: {one.why}" for one in offenders if one.kind in kinds)
    return next(own, "")


def _unread(facts: Facts) -> Iterator[str]:
    ledger = facts.ledger
    if ledger.unread:
        everybody = len(ledger.unread) + ledger.accounts_read
        were = "was" if len(ledger.unread) == 1 else "were"
        yield f"{len(ledger.unread)} of {counted(everybody, 'account')} {were} not read back"


def _unknown_operations(facts: Facts) -> Iterator[str]:
    if facts.ledger.unsure:
        yield f"the operations of {counted(len(facts.ledger.unsure), 'account')} are not all known"
    if facts.lost_workers:
        yield "a worker was lost with writes it had not yet told"
