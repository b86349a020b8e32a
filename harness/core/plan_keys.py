"""The keys of a plan file, as one table: where each stands, what it takes, whose flag's default it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["IGNORE", "KEYS", "MIGRATION", "SECTIONS", "Key", "Kind", "explain_keys"]

MIGRATION = "migration"
"""The section that may also come as a list, `[[migration]]`, for several migrations in one run."""

IGNORE = "ignore"
"""The section whose keys are not ours: the ids of rules, each with the reason to ignore its advice."""


@dataclass(frozen=True)
class Kind:
    """What a key takes: in words for a person, and as a question about the value that TOML gave."""

    expected: str
    fits: Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_variables(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


TEXT = Kind("a text", _is_text)
URL = Kind("a URL without a password", _is_text)
COMMAND = Kind("a command line, as a text", _is_text)
PATH = Kind("a path, from this file's folder", _is_text)
DURATION = Kind('a duration, such as "8s" or "1m30s"', _is_text)
TIMEOUT = Kind('a timeout as PostgreSQL writes it, such as "500ms" or "2s"', _is_text)
WHOLE = Kind("a whole number", _is_whole)
NUMBER = Kind("a number", _is_number)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
TEXTS = Kind("a list of texts", _are_texts)
VARIABLES = Kind('a table of texts, such as { APP_ENV = "staging" }', _are_variables)


@dataclass(frozen=True)
class Key:
    """One key. Its meaning is that of `flag`, unless `words` say it.

    A key of `[migration]` without a flag belongs to the entries of `[[migration]]` only.
    """

    section: str
    name: str
    kind: Kind
    flag: str | None = None
    words: str = ""

    @property
    def dest(self) -> str:
        """The name of the flag's value among Locust's parsed options; "" without a flag."""
        if self.flag is None:
            return ""
        return {"--users": "num_users"}.get(self.flag, self.flag[2:].replace("-", "_"))

    def __str__(self) -> str:
        return f"[{self.section}] {self.name}"


KEYS: tuple[Key, ...] = (
    Key("service", "host", URL, "--host", "Base URL of your service. Without it, the reference service."),
    Key("service", "database-url", URL, "--database-url"),
    Key(
        "service",
        "database-url-variable",
        TEXT,
        words="The environment variable that holds the URL of your database, if not MUL_DATABASE_URL.",
    ),
    Key("service", "replica-url", URL, "--replica-url", "A streaming replica of it, to watch."),
    Key("service", "prepare", COMMAND, "--prepare"),
    Key("service", "from-dump", PATH, "--from-dump"),
    Key("service", "recreate-database", SWITCH, "--recreate-database"),
    Key(
        "load",
        "locustfile",
        PATH,
        words="For `harness run`, `harness plan` and `pytest --migration-plan`; to `locust` give `-f`.",
    ),
    Key("load", "users", WHOLE, "--users", "How many users drive the service."),
    Key("load", "spawn-rate", NUMBER, "--spawn-rate", "How many users start per second."),
    Key("load", "target-rate", NUMBER, "--target-rate"),
    Key("load", "arrivals", TEXT, "--arrivals"),
    Key("load", "phase-rates", TEXTS, "--phase-rate"),
    Key("load", "max-in-flight", WHOLE, "--max-in-flight"),
    Key("load", "accounts", PATH, "--accounts"),
    Key("phases", "warmup", DURATION, "--warmup-time"),
    Key("phases", "baseline", DURATION, "--baseline-time"),
    Key("phases", "recover", DURATION, "--recover-time"),
    Key("phases", "probe", DURATION, "--probe-time"),
    Key("phases", "drain", DURATION, "--drain-time"),
    Key("phases", "drills", TEXTS, "--drill"),
    Key("deploy", "command", COMMAND, "--deploy"),
    Key("deploy", "when", TEXT, "--deploy-when"),
    Key("deploy", "deadline", DURATION, "--deploy-deadline"),
    Key(MIGRATION, "name", TEXT, words="What the report calls it; each of several needs its own."),
    Key(MIGRATION, "alembic-config", PATH, "--alembic-config"),
    Key(
        MIGRATION,
        "database-url-variable",
        TEXT,
        words="The environment variable that holds the URL of its database. Default: the run's own.",
    ),
    Key(MIGRATION, "command", COMMAND, "--migration-command"),
    Key(MIGRATION, "rollback-command", COMMAND, "--rollback-command"),
    Key(MIGRATION, "cwd", PATH, "--migration-cwd"),
    Key(
        MIGRATION, "env", VARIABLES, "--migration-env", "Environment variables of these commands; no secrets."
    ),
    Key(MIGRATION, "expect-from", TEXT, "--expect-from"),
    Key(MIGRATION, "upgrade", TEXT, "--upgrade"),
    Key(MIGRATION, "downgrade", TEXT, "--downgrade"),
    Key(MIGRATION, "lock-timeout", TIMEOUT, "--lock-timeout"),
    Key(MIGRATION, "statement-timeout", TIMEOUT, "--statement-timeout"),
    Key(MIGRATION, "retries", WHOLE, "--migration-retries"),
    Key(MIGRATION, "deadline", DURATION, "--migration-deadline"),
    Key("verdict", "gates", TEXTS, "--gate"),
    Key("verdict", "no-gates", TEXTS, "--no-gate"),
    Key("verdict", "require", TEXTS, "--require"),
    Key("verdict", "invariants", TEXTS, "--invariant"),
    Key("verdict", "baseline-run", PATH, "--baseline-run"),
    Key("verdict", "run-dir", PATH, "--run-dir"),
    Key("safety", "hosts", TEXTS, "--allow-host"),
    Key("safety", "databases", TEXTS, "--allow-database"),
    Key("safety", "untraced-databases", TEXTS, "--allow-untraced-database"),
    Key("safety", "drills", TEXTS, "--allow-drill"),
    Key("safety", "production", SWITCH, "--allow-production"),
    Key("demo", "rows", WHOLE, "--rows"),
    Key("demo", "instances", WHOLE, "--instances"),
    Key("demo", "services", TEXT, "--services"),
    Key("demo", "postgres-image", TEXT, "--postgres-image"),
    Key("demo", "postgres-version", TEXT, "--postgres-version"),
    Key("demo", "postgres-dockerfile", PATH, "--postgres-dockerfile"),
    Key("demo", "postgres-bin", PATH, "--postgres-bin"),
    Key("demo", "cache", TEXT, "--cache"),
    Key("demo", "keep-database", SWITCH, "--keep-database"),
    Key("demo", "standby", SWITCH, "--standby"),
)

IGNORING = Key(IGNORE, "RULE", Kind("the reason, as a text", _is_text), "--ignore")
"""Stands for every key of `[ignore]`."""

SECTIONS = tuple(dict.fromkeys([*(key.section for key in KEYS), IGNORE]))


def explain_keys(flag_words: Mapping[str, str]) -> str:
    """The table of keys, as Markdown, with the meanings of the flags as `flag_words` has them."""
    return "\n".join(_rows([*KEYS, IGNORING], flag_words)) + "\n"


def _rows(keys: Iterable[Key], flag_words: Mapping[str, str]) -> Iterator[str]:
    yield "| key | takes | flag | meaning |"
    yield "| --- | --- | --- | --- |"
    for key in keys:
        flag = f"`{key.flag}`" if key.flag else ""
        words = key.words or flag_words[key.flag or ""].removesuffix(" Repeatable.")
        yield f"| {_where(key)} | {key.kind.expected} | {flag} | {words} |"


def _where(key: Key) -> str:
    listed = key.section == MIGRATION and key.flag is None
    return f"`[[{key.section}]] {key.name}`" if listed else f"`{key}`"
