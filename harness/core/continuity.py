"""Continuity of sessions: whether who was logged in stays so, and who logs in anew is let in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.record import Probe

__all__ = [
    "ENDED",
    "FAILED",
    "FIRST_USE",
    "FRESH_LOGIN",
    "KINDS",
    "NOT_TRIED",
    "NO_ACCOUNT",
    "OLD_TOKEN",
    "RENEWED",
    "RIGHTLY_GONE",
    "UNCLEAR",
    "WORKED",
    "Continuity",
    "Tried",
    "judge_continuity",
]

OLD_TOKEN = "old_token"  # noqa: S105 - what was issued before the migration and has not ended
FRESH_LOGIN = "fresh_login"
FIRST_USE = "first_use"  # of what the fresh login gave
KINDS = (OLD_TOKEN, FRESH_LOGIN, FIRST_USE)

WORKED = "worked"
FAILED = "failed"
UNCLEAR = "unclear"  # limited by rate, or not answered in time: that says nothing of the session
NOT_TRIED = "not_tried"

NO_ACCOUNT = "no account was tried"
RENEWED = "it was renewed since"
ENDED = "it had ended"
RIGHTLY_GONE = frozenset({RENEWED, ENDED})
"""Why an old token is not tried that nobody holds any more: then there is nothing to be measured."""

_EXAMPLES = 5


@dataclass(frozen=True)
class Tried:
    """What came of one kind of probe after the migration, and whether it had worked before it began.

    `why_not` says why none was tried, "" when one was.
    """

    worked: int
    failed: int
    unclear: int
    worked_before: bool
    why_not: str = ""

    @property
    def tried(self) -> int:
        """How many were tried."""
        return self.worked + self.failed + self.unclear


@dataclass(frozen=True)
class Continuity:
    """For how many accounts something was tried, and what came of each kind of it; `examples` are findings in
    words.
    """

    accounts: int
    kinds: Mapping[str, Tried]
    examples: tuple[str, ...]

    @property
    def failed(self) -> int:
        """Probes that failed though their kind had worked before."""
        return sum(tried.failed for tried in self.kinds.values() if tried.worked_before)


def judge_continuity(probes: Sequence[Probe], began_at: float | None) -> Continuity:
    """Count the probes after the migration began; those before it are the control.

    A token that works is the control of old tokens too: before the migration every token is one.
    """
    ours = [probe for probe in probes if probe.probe in KINDS]
    before = {p.probe for p in ours if p.outcome == WORKED and (began_at is None or p.at < began_at)}
    after = [p for p in ours if began_at is not None and p.at >= began_at]
    control = {OLD_TOKEN: FIRST_USE, FRESH_LOGIN: FRESH_LOGIN, FIRST_USE: FIRST_USE}
    failed = [probe for probe in after if probe.outcome == FAILED]
    return Continuity(
        accounts=len({probe.account for probe in after if probe.outcome != NOT_TRIED}),
        kinds={
            kind: _tried([p for p in after if p.probe == kind], control[kind] in before) for kind in KINDS
        },
        examples=tuple(f"{p.account}: {_WORDS[p.probe]}: {p.detail}" for p in failed[:_EXAMPLES]),
    )


_WORDS = {
    OLD_TOKEN: "what it held before the migration was not taken after it",
    FRESH_LOGIN: "it could not log in",
    FIRST_USE: "it logged in, but what it got was not taken",
}


def _tried(probes: Sequence[Probe], worked_before: bool) -> Tried:
    outcomes = Counter(probe.outcome for probe in probes)
    reasons = Counter(probe.detail for probe in probes if probe.outcome == NOT_TRIED)
    tried = Tried(outcomes[WORKED], outcomes[FAILED], outcomes[UNCLEAR], worked_before)
    if tried.tried:
        return tried
    why = reasons.most_common(1)[0][0] if reasons else NO_ACCOUNT
    return Tried(0, 0, 0, worked_before, why)
