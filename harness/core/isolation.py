"""Isolation: whether an account ever saw or could touch what belongs to another, or passed for another.

Three kinds of evidence:

- *own answers*: whatever an account is shown (records, lists, events, errors) is searched for other accounts'
  canaries;
- *probes of records*: a stranger reads, lists, changes and deletes a record that is not its own. What came of
  a change is judged by what the owner reads afterwards, not by the status alone;
- *probes of tokens*: what is not, or no longer, a token of the service must be refused.

A refusal proves something only beside its control: what the stranger is refused its owner can do, and where
a forged token is refused the valid one is taken right before and after. A probe without its control is an
error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.core.record import Probe

__all__ = [
    "ACCEPTED",
    "ALG_NONE",
    "ALTERED",
    "CANARY",
    "ERROR",
    "EXPIRED",
    "FAILED",
    "FOREIGN_DELETE",
    "FOREIGN_LIST",
    "FOREIGN_READ",
    "FOREIGN_STREAM",
    "FOREIGN_UPDATE",
    "FORGED_SIGNATURE",
    "KEY_CONFUSION",
    "LEAKED",
    "MISSING_SCOPE",
    "NOT_TRIED",
    "OWNER",
    "RECORD_PROBES",
    "REFUSED",
    "REVOKED",
    "STREAM_EXPIRED",
    "STREAM_FORGED",
    "STREAM_OUTLIVED",
    "STREAM_PROBES",
    "SWAPPED_ID",
    "TOKEN_PROBES",
    "VALID_TOKEN",
    "WORKED",
    "WRONG_AUDIENCE",
    "WRONG_ISSUER",
    "Isolation",
    "Row",
    "Shown",
    "judge_change",
    "judge_isolation",
    "judge_stream",
    "judge_token",
]

CANARY = "canary"

FOREIGN_READ = "foreign_read"
FOREIGN_LIST = "foreign_list"
FOREIGN_UPDATE = "foreign_update"
FOREIGN_DELETE = "foreign_delete"
SWAPPED_ID = "swapped_id"
FOREIGN_STREAM = "foreign_stream"
RECORD_PROBES = (FOREIGN_READ, FOREIGN_LIST, FOREIGN_UPDATE, SWAPPED_ID, FOREIGN_DELETE, FOREIGN_STREAM)
"""What a stranger tries on a record, in the order in which it is tried; the last is to be told of it."""

FORGED_SIGNATURE = "forged_signature"
ALG_NONE = "alg_none"
KEY_CONFUSION = "key_confusion"
ALTERED = "altered_token"
REVOKED = "revoked_token"
STREAM_FORGED = "stream_forged_token"
STREAM_EXPIRED = "stream_expired_token"
STREAM_OUTLIVED = "stream_outlived_token"
EXPIRED = "expired_token"
WRONG_AUDIENCE = "wrong_audience"
WRONG_ISSUER = "wrong_issuer"
MISSING_SCOPE = "missing_scope"
TOKEN_PROBES = (
    FORGED_SIGNATURE,
    ALG_NONE,
    KEY_CONFUSION,
    ALTERED,
    EXPIRED,
    WRONG_AUDIENCE,
    WRONG_ISSUER,
    MISSING_SCOPE,
    REVOKED,
    STREAM_FORGED,
    STREAM_EXPIRED,
    STREAM_OUTLIVED,
)
"""Of what kinds the tokens are that a service must refuse."""

STREAM_PROBES = (FOREIGN_STREAM, STREAM_FORGED, STREAM_EXPIRED, STREAM_OUTLIVED)
"""Those of both that need a WebSocket."""

OWNER = "owner"  # the control of a probe of a record: its owner could do the same
VALID_TOKEN = "valid_token"  # noqa: S105 - the control of a probe of a token

REFUSED = "refused"
LEAKED = "leaked"
ACCEPTED = "accepted"
ERROR = "error"
NOT_TRIED = "not_tried"
WORKED = "worked"
FAILED = "failed"

_CONTROLS = (OWNER, VALID_TOKEN)
_SUCCESS = range(200, 300)
_GONE = (404, 410)
_ACCEPTED_FOR_LATER = 202
_SAYS_NOTHING = frozenset({408, 425, 429, 499})
"""Too slow, too early, too often, given up by a proxy: no answer to the question."""
_EXAMPLES = 5


@dataclass(frozen=True)
class Row:
    """What came of one kind of probe in one phase: how often it was tried, and refused, and how often it
    succeeded though it must not. `errors` of them ended in neither. `why_not` says why none was tried.
    """

    probe: str
    phase: str
    tried: int
    refused: int
    succeeded: int
    errors: int
    why_not: str = ""


@dataclass(frozen=True)
class Isolation:
    """Answers in which an account found its own canary and no other (a positive control), what was tried on
    records and what came of it, and the same of tokens.

    `leaks` counts foreign canaries and probes of records that succeeded. `errors` are probes that ended in
    neither data nor a refusal, or had no control: they say nothing. `forged_tried_after` were tried after the
    migration began. `controls` are requests that had to work, and did.
    """

    reads_checked: int
    probes: int
    refused: int
    errors: int
    leaks: int
    forged_tried: int
    forged_accepted: int
    forged_errors: int
    forged_tried_after: int
    controls: int
    rows: tuple[Row, ...]
    examples: tuple[str, ...]
    accepted: tuple[str, ...]
    """Tokens that were accepted, in words."""
    why_error: str = ""
    """Why the first probe of a token says nothing."""

    @property
    def untried(self) -> Mapping[str, Sequence[str]]:
        """The kinds of which none was tried in any phase, by the reason that was last given."""
        last = {row.probe: row.why_not for row in self.rows if row.why_not}
        tried = {row.probe for row in self.rows if row.tried}
        found: dict[str, list[str]] = {}
        for kind, why in last.items():
            if kind not in tried:
                found.setdefault(why, []).append(kind)
        return found

    @property
    def why_no_token(self) -> str:
        """Why no token was tried, the commonest reason; "" where there is none."""
        reasons = Counter(r.why_not for r in self.rows if r.probe in TOKEN_PROBES and r.why_not)
        return reasons.most_common(1)[0][0] if reasons else ""


def judge_isolation(
    reads_checked: int,
    probes: Sequence[Probe],
    phase_at: Callable[[float], str | None] = lambda _: None,
    began_at: float | None = None,
) -> Isolation:
    """Count the probes; `phase_at` tells the phase of an instant, `began_at` when the migration began."""
    records = Counter(probe.outcome for probe in probes if probe.probe in RECORD_PROBES)
    forged = [probe for probe in probes if probe.probe in TOKEN_PROBES]
    tokens = Counter(probe.outcome for probe in forged)
    said = [probe for probe in forged if probe.outcome in (REFUSED, ACCEPTED)]
    leaked = [probe for probe in probes if probe.outcome == LEAKED]
    accepted = [probe for probe in forged if probe.outcome == ACCEPTED]
    return Isolation(
        reads_checked=reads_checked,
        probes=records.total() - records[NOT_TRIED],
        refused=records[REFUSED],
        errors=records[ERROR],
        leaks=len(leaked),
        forged_tried=len(said),
        forged_accepted=tokens[ACCEPTED],
        forged_errors=tokens[ERROR],
        forged_tried_after=sum(began_at is not None and probe.at >= began_at for probe in said),
        controls=sum(probe.probe in _CONTROLS and probe.outcome == WORKED for probe in probes),
        rows=tuple(_rows(probes, phase_at)),
        examples=tuple(_told(probe) for probe in leaked[:_EXAMPLES]),
        accepted=tuple(_told(probe) for probe in accepted[:_EXAMPLES]),
        why_error=next((probe.detail for probe in forged if probe.outcome == ERROR), ""),
    )


def _told(probe: Probe) -> str:
    """A colon behind the word token would have what follows taken for one, and masked."""
    kind = probe.probe.replace("_", " ")
    if probe.probe in TOKEN_PROBES:
        return ", ".join(filter(None, (f"{probe.account}: {kind}", probe.detail)))
    return f"{probe.account}: {probe.detail or kind}"


def _rows(probes: Iterable[Probe], phase_at: Callable[[float], str | None]) -> Iterator[Row]:
    """A row for each kind and phase, in the order of the kinds, then of the phases."""
    kinds = (CANARY, *RECORD_PROBES, *TOKEN_PROBES)
    found: dict[tuple[int, str], list[Probe]] = {}
    phases: dict[str, None] = {}
    for probe in sorted(probes, key=lambda probe: probe.at):
        if probe.probe in kinds:
            phase = phase_at(probe.at) or ""
            phases[phase] = None
            found.setdefault((kinds.index(probe.probe), phase), []).append(probe)
    order = list(phases)
    for kind, phase in sorted(found, key=lambda key: (key[0], order.index(key[1]))):
        yield _row(kinds[kind], phase, found[kind, phase])


def _row(kind: str, phase: str, probes: Sequence[Probe]) -> Row:
    outcomes = Counter(probe.outcome for probe in probes)
    tried = outcomes.total() - outcomes[NOT_TRIED]
    reasons = Counter(probe.detail for probe in probes if probe.outcome == NOT_TRIED)
    return Row(
        kind,
        phase,
        tried,
        outcomes[REFUSED],
        outcomes[LEAKED] + outcomes[ACCEPTED],
        outcomes[ERROR],
        "" if tried or not reasons else reasons.most_common(1)[0][0],
    )


Judged = tuple[str, str]
"""Outcome and detail of a probe."""


@dataclass(frozen=True)
class Shown:
    """What its owner is shown of a record: the status, and what tells its state, None where nothing does."""

    status: int
    state: object = None
    again: bool = False
    """Whether it had been shown in that state before."""

    @property
    def there(self) -> bool:
        """Whether it was shown."""
        return self.status in _SUCCESS


def judge_change(status: int, before: Shown, after: Shown) -> Judged:
    """A stranger tried to change or delete a record, and was answered `status` (0: not at all).

    What the owner is shown counts; a state that it has been shown before is a stale read, and no stranger's
    doing. Where nothing tells a record's state, the answer does: a success that
    cannot be seen to be empty is a leak.
    """
    if not before.there:
        return ERROR, f"its owner could not read it before (HTTP {before.status})"
    if after.status in _GONE:
        return LEAKED, f"another account's record is gone (HTTP {status})"
    if not after.there:
        return ERROR, f"its owner could not read it afterwards (HTTP {after.status})"
    if after.state != before.state and after.again:
        return ERROR, "its owner was shown an earlier state of it"
    if after.state != before.state:
        return LEAKED, f"another account's record was changed (HTTP {status})"
    if status in _SUCCESS:
        if status == _ACCEPTED_FOR_LATER:
            return ERROR, "HTTP 202: it may still be done"
        blind = before.state is None
        return (
            (LEAKED, f"HTTP {status}, and nothing tells whether it was changed") if blind else (REFUSED, "")
        )
    return (REFUSED, "") if _refuses(status) and status != 401 else (ERROR, f"HTTP {status}")


def judge_token(status: int, before: int, after: int, shown_to_all: bool = False) -> Judged:
    """A token that must be refused was answered `status`, the valid one `before` and `after` it."""
    if shown_to_all:
        return ERROR, "the same is shown without any token"
    if before not in _SUCCESS or after not in _SUCCESS:
        bad = before if before not in _SUCCESS else after
        return ERROR, f"the valid token was not taken either (HTTP {bad})"
    if status in _SUCCESS:
        return ACCEPTED, f"it was accepted (HTTP {status})"
    return (REFUSED, "") if _refuses(status) else (ERROR, f"HTTP {status}")


def judge_stream(kind: str, told: bool, control: bool, refused: str | None, status: int | None) -> Judged:
    """A connection over which an account's change must not come; `control`: over the account's own it did.

    `refused` says why no connection came about, None where one did, `status` that of the service's answer.
    """
    if told:
        return (LEAKED if kind in RECORD_PROBES else ACCEPTED), "the change of a record came over it"
    if not control:
        return ERROR, "the change did not come over the account's own connection either"
    if refused is None or (status is not None and _refuses(status)):
        return REFUSED, ""
    return ERROR, refused


def _refuses(status: int) -> bool:
    """Whether a status says no: a client's error, or a redirect, as to a login page."""
    return 300 <= status < 500 and status not in _SAYS_NOTHING
