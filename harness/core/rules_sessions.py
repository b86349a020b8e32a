"""Rules about what a session sets for itself."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.durations import format_duration
from harness.core.rule import Case, Match, Rule
from harness.core.safe_forms import execute
from harness.core.session_settings import LostSetting
from harness.core.shape import Action

__all__ = ["RULES"]

_SET = "https://www.postgresql.org/docs/current/sql-set.html"
_PREPARE = "https://www.postgresql.org/docs/current/sql-prepare.html"
_PREPARED = ("26000", "42P05")


def _in_each(action: Action) -> str:
    setting = action.name or "lock_timeout"
    return "\n".join(
        (
            "# in every transaction that needs it:",
            execute(f"SET LOCAL {setting} = '{action.expression or '2s'}'"),
            execute("…"),
            "# or give the migration a database URL that leads to PostgreSQL itself, not to the pooler;",
            "# what runs outside transactions (CONCURRENTLY) needs that",
        )
    )


def _unprepared(_action: Action) -> str:
    return "\n".join(
        (
            "# in env.py, for a URL that leads through a pooler:",
            "engine = sa.create_engine(url, connect_args={'prepare_threshold': None})  # psycopg",
            "# asyncpg: connect_args={'statement_cache_size': 0}",
        )
    )


def _prepared(case: Case) -> Iterator[Match]:
    if case.statement.sqlstate in _PREPARED:
        action = Action("other", expression=case.statement.sql)
        yield case.match(action, said=f"ended with SQLSTATE {case.statement.sqlstate}", weight="certain")


def _lost(case: Case) -> Iterator[Match]:
    told = {one.setting for traced in case.traced.previous for one in traced.statement.lost}
    for one in case.statement.lost:
        if one.setting not in told:
            action = Action("set", name=one.setting, expression=_written(one.meant_s))
            yield case.match(action, said=_said(one), weight="certain")


def _said(one: LostSetting) -> str:
    by = "before the revisions" if one.set_by is None else f"by statement {one.set_by}"
    found = "asked right after it, the session had" if one.beside else "it ran with"
    return f"{one.setting} was set to {_told(one.meant_s)} {by}; {found} {_told(one.found_s)}"


def _told(seconds: float) -> str:
    return format_duration(seconds) if seconds else "none"


def _written(seconds: float) -> str:
    """As PostgreSQL takes it."""
    return f"{seconds:g}s" if seconds == int(seconds) else f"{seconds * 1000:g}ms"


RULES = (
    Rule(
        id="setting-lost-in-pooler",
        title="A timeout of the session was lost in a connection pooler",
        condition="A timeout that the session had set was not in effect: a pooler had handed the session to"
        " another of PostgreSQL's processes.",
        consequence="The statement waits for its lock without end, and the next client of the process that"
        " was set gives up early.",
        instead="SET LOCAL in each transaction, or a direct connection for migrations",
        source=_SET,
        example=Action("set", name="lock_timeout", expression="2s"),
        safe=_in_each,
        matches=_lost,
    ),
    Rule(
        id="prepared-statement-in-pooler",
        title="A prepared statement was not where the driver had prepared it",
        condition="A statement failed because what the driver had prepared was not there, or another's was"
        " (26000, 42P05), as behind a pooler in transaction mode.",
        consequence="The migration fails, the sooner the more often it sends the same statement.",
        instead="a direct connection for migrations, or a driver that prepares nothing",
        source=_PREPARE,
        example=Action("other"),
        safe=_unprepared,
        matches=_prepared,
    ),
)
