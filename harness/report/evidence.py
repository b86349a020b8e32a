"""Other evidence in words: the schema before and after, classes of errors, and a linter's claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.secrets import mask
from harness.report.statements import named, of_phase, within
from harness.report.words import ABSENT, clean, count, seconds, several, shorten

__all__ = [
    "Claim",
    "ErrorClass",
    "SchemaFinding",
    "claims_of",
    "claims_sentence",
    "errors_of",
    "provenance_sentence",
    "schema_findings",
]

Json = Mapping[str, Any]


@dataclass(frozen=True)
class SchemaFinding:
    """What the schema has or lacks after the migration; `red` where the gate `catalog` fails for it."""

    kind: str
    relation: str
    what: str
    red: bool
    remedy: str

    @property
    def sentence(self) -> str:
        what = f"{self.kind} {self.relation}".strip()
        return f"{what}: {self.what.rstrip('.')}. {self.remedy}".rstrip()


@dataclass(frozen=True)
class ErrorClass:
    """Errors of one cause in one phase, with the endpoints and the statement behind them."""

    name: str
    sqlstate: str
    phase: str
    count: str
    endpoints: str
    source: str
    number: str
    statement: str
    why: str

    @property
    def sentence(self) -> str:
        state = "" if self.sqlstate in ("", ABSENT) else f" (SQLSTATE {self.sqlstate})"
        where = f" in {self.phase}" if self.phase else ""
        at = f" at {self.endpoints}" if self.endpoints else ""
        cause = f", because of statement {self.number}" if self.number else ""
        why = f" ({self.why.rstrip('.')})" if self.why else ""
        return f"{self.count} × {self.name}{state}{where}{at}{cause}{why}."


@dataclass(frozen=True)
class Claim:
    """What a linter said of a statement, beside what was measured; `key` is its status for colours."""

    tool: str
    rule: str
    statement: str
    message: str
    status: str
    key: str


def schema_findings(catalog: Json | None) -> tuple[SchemaFinding, ...]:
    """Red ones first."""
    rows = (
        SchemaFinding(
            kind=_kind(found),
            relation=clean(found.get("relation") or ""),
            what=mask(clean(found.get("what") or "")),
            red=bool(found.get("red")),
            remedy=mask(clean(found.get("remedy") or "")),
        )
        for found in (catalog or {}).get("findings") or ()
    )
    return tuple(sorted(rows, key=lambda found: not found.red))


def _kind(found: Json) -> str:
    when = " after the rollback" if found.get("phase") == "rollback" else ""
    kind = clean(found.get("kind") or "").replace("_", " ")
    return f"{kind}{within(found, 'migration')}{when}"


def errors_of(errors: Iterable[Json], migrations: Sequence[Json]) -> tuple[ErrorClass, ...]:
    """In the verdict's order."""
    return tuple(_error(error, migrations) for error in errors)


def _error(error: Json, migrations: Sequence[Json]) -> ErrorClass:
    """Its statement is a pair: revision and number."""
    revision, number = error.get("statement") or (None, None)
    own = of_phase(migrations, error)
    return ErrorClass(
        name=clean(error.get("name") or ""),
        sqlstate=clean(error.get("sqlstate") or ABSENT),
        phase=clean(error.get("phase") or ""),
        count=count(error.get("count")),
        endpoints=several(map(clean, error.get("endpoints") or ()), 4),
        source=clean(error.get("source") or ""),
        number="" if number is None else f"{clean(number)}{within(error, 'migration')}",
        statement="" if number is None else named(number, own, revision),
        why=mask(clean(error.get("why") or "")),
    )


def claims_of(claims: Iterable[Json], migrations: Sequence[Json]) -> tuple[Claim, ...]:
    """In the verdict's order."""
    return tuple(
        Claim(
            tool=clean(claim.get("tool") or ""),
            rule=clean(claim.get("rule") or ""),
            statement=named(claim.get("statement"), of_phase(migrations, {"phase": "migrate", **claim})),
            message=shorten(mask(clean(claim.get("message") or "")), 400),
            status=_CLAIMS.get(str(claim.get("status")), clean(claim.get("status") or ABSENT)),
            key=_KEYS.get(str(claim.get("status")), "not_applicable"),
        )
        for claim in claims
    )


_CLAIMS = {"not seen": "not seen under this load"}
_KEYS = {"confirmed": "fail", "only measured": "inconclusive"}


def claims_sentence(claims: Sequence[Claim]) -> str:
    """`8 confirmed, 4 not seen under this load, 3 only measured`."""
    counts = Counter(claim.status for claim in claims)
    return ", ".join(f"{count(number)} {status}" for status, number in counts.items())


def provenance_sentence(observed: Json | None) -> str:
    """What the marks of numbers mean; `observed` is what the observer says of itself."""
    interval = (observed or {}).get("interval_s")
    every = f" every {seconds(interval)}" if interval else ""
    within = f", so a wait is known within {seconds(interval)}" if interval else ""
    return (
        "Exact: read within the migration's own transaction, or from the server's log;"
        f" observed: seen in pg_locks{every}{within};"
        " inferred: concluded from what went on at the same time; unknown: nobody could look."
    )
