"""Drills: the faults a run can cause on purpose, how a plan asks for one, and what is said of how it went.

`NAME[@WHERE][=VALUE]`: which drill, where or when it strikes, and how much of it. How a drill is graded is in
`core/drill_grades.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from harness.core.durations import parse_duration
from harness.errors import UsageError

__all__ = [
    "DRILLS",
    "GRADES",
    "LIMITED_CORES",
    "Drill",
    "DrillResult",
    "Family",
    "Grade",
    "KnownDrill",
    "Takes",
    "count",
    "duration",
    "explain_drills",
    "parse",
    "worst_grade",
]

Family = Literal["migration", "fault"]
"""`migration`: it shapes the phases of the migration itself. `fault`: service, database or connections are
broken, in a phase of its own or while the migration runs."""

Grade = Literal["A", "B", "C", "D"]

GRADES: Mapping[Grade, str] = {
    "A": "nothing is left of it: everything came back by itself within its bound",
    "B": "everything came back by itself, but later, or something was left that was completed by itself",
    "C": "it took the documented remedy",
    "D": "it did not come back, or something unknown is left",
}
"""What each grade means, from the best to the worst."""


@dataclass(frozen=True)
class Takes:
    """What may follow the `=`: `word` stands for it in explanations; with a `default` it may be left out."""

    word: str
    fits: Callable[[str], bool]
    default: str = ""


def _is_count(least: int, most: int) -> Callable[[str], bool]:
    return lambda text: text.isascii() and text.isdigit() and least <= int(text) <= most


def _is_duration(text: str) -> bool:
    try:
        return 0 < parse_duration(text) <= 600
    except UsageError:
        return False


def count(least: int, default: str = "", most: int = 100_000) -> Takes:
    """A whole number from `least` to `most`."""
    return Takes("N", _is_count(least, most), default)


def duration(default: str = "") -> Takes:
    """A duration of at most ten minutes."""
    return Takes("2s", _is_duration, default)


@dataclass(frozen=True)
class KnownDrill:
    """A row of the table of drills.

    `forms` has what may stand after the `@`, "" for nothing, each with what its `=` takes, None for no `=`.
    `touches` is what of the person's own it may break, for which they must say `--allow-drill NAME`; "" when
    it breaks nothing but what the harness itself started. `not_for_yours` says why it cannot be done to a
    service and database that the harness did not start at all, "" when it can. `in_container` says that the
    database has to run in a container of the harness.
    """

    name: str
    what: str
    family: Family
    forms: Mapping[str, Takes | None] = field(default_factory=lambda: {"": None})
    touches: str = ""
    not_for_yours: str = ""
    in_container: bool = False

    def spellings(self) -> tuple[str, ...]:
        """How it may be written, for a person."""
        return tuple(
            f"{self.name}{f'@{where}' if where else ''}{'' if takes is None else _spelled(takes)}"
            for where, takes in self.forms.items()
        )


def _spelled(takes: Takes) -> str:
    return f"[={takes.word}]" if takes.default else f"={takes.word}"


@dataclass(frozen=True)
class Drill:
    """A drill as a plan asks for it; `where` and `value` are "" where nothing was said, and need not be."""

    name: str
    where: str = ""
    value: str = ""

    @property
    def text(self) -> str:
        """As it is written in a plan."""
        return f"{self.name}{f'@{self.where}' if self.where else ''}{f'={self.value}' if self.value else ''}"

    @property
    def known(self) -> KnownDrill:
        """Its row of the table."""
        return DRILLS[self.name]

    @property
    def replaces_migration(self) -> bool:
        """Whether it decides which processes the migration under traffic is."""
        return self.name in ("kill-migrator", "race-migrators") and self.where != "each"

    @property
    def has_own_phase(self) -> bool:
        """Whether it strikes after all that is judged of the migration, in a phase of its own."""
        return self.known.family == "fault" and self.where != "migrate"

    @property
    def count(self) -> int:
        """Its value, where that is a number."""
        return int(self.value)

    @property
    def seconds(self) -> float:
        """Its value, where that is a duration."""
        return parse_duration(self.value)

    @property
    def lasts_s(self) -> float:
        """How long its fault is kept up; 0 for one that strikes once."""
        takes = self.known.forms.get(self.where)
        return self.seconds if takes is not None and takes.fits is _is_duration else 0.0


NOT_OUR_CONTAINER = "the harness did not start that PostgreSQL in a container"

LIMITED_CORES = 0.02
"""What `limit-cpu` leaves to the database."""

NOT_OUR_SERVER = "the harness did not start that PostgreSQL, which is not ours to signal"

HOW_TO_STOP = Takes("immediate", lambda text: text in ("fast", "immediate"), "fast")

DRILLS: Mapping[str, KnownDrill] = {
    row.name: row
    for row in (
        KnownDrill(
            "kill-migrator",
            "SIGKILL of the migration's processes before statement N is sent, or during it; without N before"
            " the one in the middle of a rehearsal. What is left is looked at, then the same command is run"
            " again. `@each`: at every statement, each on a fresh copy, after the load.",
            "migration",
            {"": None, "p50": None, "statement": count(1), "during": count(1), "each": None},
            touches="the database, which may be left half migrated",
        ),
        KnownDrill(
            "race-migrators",
            "The migration's command is started N times at once, as by instances that migrate at start.",
            "migration",
            {"": count(2, "3", most=20)},
            touches="the database, which several migrations change at once",
        ),
        KnownDrill(
            "rollback",
            "The downgrade, with users there, to where the upgrade began; what of the schema and the rows did"
            " not come back is listed. `--downgrade` says where to; the reference service's is `v1`.",
            "migration",
        ),
        KnownDrill(
            "hold-reader",
            "A session has read every table and stays idle in its transaction, from before the migration's"
            " first statement until so long after it.",
            "migration",
            {"": duration("10s")},
            touches="requests, which may have to wait behind the migration",
        ),
        KnownDrill(
            "old-code-new-schema",
            "Release N and release N+1 of the service are asked the same before and after the migration:"
            " which code works on which schema?",
            "migration",
            not_for_yours="the harness cannot start another release of your service",
        ),
        KnownDrill(
            "restart-database",
            "PostgreSQL is shut down, fast or immediately (then it recovers from its log), and started"
            " again.",
            "fault",
            {"": HOW_TO_STOP, "migrate": HOW_TO_STOP},
            not_for_yours=NOT_OUR_SERVER,
        ),
        KnownDrill(
            "pause-database",
            "SIGSTOP of all of PostgreSQL's processes, and SIGCONT after so long.",
            "fault",
            {"": duration("2s"), "migrate": duration("2s")},
            not_for_yours=NOT_OUR_SERVER,
        ),
        KnownDrill(
            "disconnect-database",
            "The database's container is taken off its network, and put on it again after so long.",
            "fault",
            {"": duration("2s"), "migrate": duration("2s")},
            not_for_yours=NOT_OUR_CONTAINER,
            in_container=True,
        ),
        KnownDrill(
            "limit-cpu",
            f"The database's container has no more than {LIMITED_CORES:g} of a core for so long.",
            "fault",
            {"": duration("5s"), "migrate": duration("5s")},
            not_for_yours=NOT_OUR_CONTAINER,
            in_container=True,
        ),
        KnownDrill(
            "fill-disk",
            "The disk of the database's data, a small one in memory, is filled, and has room again after so"
            " long. A server that ended over it is started again then, as by a supervisor.",
            "fault",
            {"": duration("5s"), "migrate": duration("5s")},
            not_for_yours=NOT_OUR_CONTAINER,
            in_container=True,
        ),
        KnownDrill(
            "terminate-backends",
            "pg_terminate_backend for every client's session in the database, but not the harness's own and"
            " the migration's.",
            "fault",
            {"": None, "migrate": None},
            touches="every client's session in the database, whoever it belongs to",
        ),
        KnownDrill(
            "drop-websockets",
            "The users' WebSockets are reset, all at once.",
            "fault",
            {"": None, "migrate": None},
        ),
        KnownDrill(
            "kill-service",
            "SIGKILL of the service, which is started again as soon as it is gone, as by a supervisor.",
            "fault",
            {"": None, "migrate": None},
            not_for_yours="the harness did not start your service, and cannot start it again",
        ),
        KnownDrill(
            "kill-cache",
            "SIGKILL of the reference service's cache, which is started again, empty, as soon as it is gone.",
            "fault",
            {"": None, "migrate": None},
            not_for_yours="the harness did not start your service's cache",
        ),
        KnownDrill(
            "expire-tokens",
            "The service's signing key is rotated: every token is invalid at once, and everybody logs in"
            " again.",
            "fault",
            not_for_yours="the harness does not know how to make your service's tokens invalid",
        ),
    )
}
"""Every drill there is, by its name."""


def parse(text: str) -> Drill:
    """The drill of `NAME[@WHERE][=VALUE]`; raises UsageError, naming what is known.

    >>> parse("kill-migrator@statement=3")
    Drill(name='kill-migrator', where='statement', value='3')
    """
    head, equals, value = (part.strip() for part in text.partition("="))
    name, at, where = (part.strip() for part in head.partition("@"))
    known = DRILLS.get(name)
    if known is None:
        near = get_close_matches(name, DRILLS, n=1)
        raise UsageError(
            f"--drill {text}: there is no such drill.",
            f"{f'Do you mean {near[0]}? ' if near else ''}Known drills: {', '.join(DRILLS)}"
            " (harness explain drills).",
        )
    takes = known.forms.get(where)
    if where not in known.forms or (at and not where):
        raise _wrong(text, known, f"it cannot strike {f'at {where!r}' if at else 'just so'}")
    if takes is None:
        if equals:
            raise _wrong(text, known, "it takes no value")
        return Drill(name, where)
    value = value or ("" if equals else takes.default)
    if not takes.fits(value):
        raise _wrong(text, known, f"its value is {value!r}" if equals else "its value is missing")
    return Drill(name, where, value)


def _wrong(text: str, known: KnownDrill, why: str) -> UsageError:
    return UsageError(f"--drill {text}: {why}.", f"Write {' or '.join(known.spellings())}.")


def explain_drills() -> str:
    """The table of drills and of their grades, as Markdown."""
    rows = ["| drill | what it does | may break, of your own |", "| --- | --- | --- |"]
    for known in DRILLS.values():
        spellings = "<br>".join(f"`{one}`" for one in known.spellings())
        yours = known.touches or "nothing"
        rows.append(f"| {spellings} | {known.what} | {known.not_for_yours or yours} |")
    rows += ["", "| grade | means |", "| --- | --- |"]
    rows += [f"| {grade} | {words} |" for grade, words in GRADES.items()]
    return "\n".join(rows) + "\n"


@dataclass(frozen=True)
class DrillResult:
    """How one drill went: an entry of `drills[]` in `verdict.json`.

    `at` is when the fault began and `end_at` when everything had come back, in seconds since the start of the
    run; None for what did not happen. `grade` is None for a drill that could not be done or judged; `why`
    says so then, and else gives the grade's reason. `evidence` is what the grade was given for.
    """

    name: str
    what: str
    at: float | None = None
    end_at: float | None = None
    grade: Grade | None = None
    why: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def worst_grade(grades: Sequence[Grade]) -> Grade | None:
    """The worst of them, None of none."""
    return max(grades, default=None)
