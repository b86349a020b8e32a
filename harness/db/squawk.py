"""Squawk: what a linter says of the statements that a migration executed, before anything is measured.

`squawk` (https://squawkhq.com, extra `lint`) reads SQL text alone. It is shown the statements in the order
and in the transactions in which they ran: so it need not assume a transaction, as it would for a file of
Alembic's, and what it says of CONCURRENTLY within one is to the point.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.clock import monotonic

__all__ = ["predict"]

WITHIN_S = 10.0
SETTINGS = ".squawk.toml"
SYNTAX_ERROR = "syntax-error"

_PLACEHOLDER = re.compile(r"%\(\w+\)[sbt]|%[sbt]\b")
"""A parameter as psycopg and psycopg2 write it; PostgreSQL and squawk know $1."""

Json = dict[str, Any]


def predict(
    statements: Sequence[Mapping[str, Any]], folder: Path | None = None, server_version: int | None = None
) -> Json | None:
    """What squawk claims of `statements` (keys `n`, `sql` and `transaction`); None when it is not installed.

    Returns `tool`, `version`, `claims` (each with `statement`, `rule`, `level`, `message`), `unread` (the
    statements that squawk could not read: the others are judged without them) and `error`, in words. Settings
    are those of `.squawk.toml` in `folder`, the one of the person's migrations, and no other's.
    `server_version` is as 180006. Never raises, and ends within 10 s.
    """
    program = _program()
    if program is None:
        return None
    everything = [statement["n"] for statement in statements]
    found: Json = {"tool": "squawk", "version": "", "claims": [], "unread": everything, "error": ""}
    try:
        with tempfile.TemporaryDirectory(prefix="mul-squawk-") as place:
            squawk = _Squawk(program, Path(place), folder, server_version, monotonic() + WITHIN_S)
            found["version"] = squawk.version()
            found["claims"], found["unread"] = _claims(squawk, statements)
            found["error"] = _not_read(found["unread"])
    except subprocess.TimeoutExpired:
        found["error"] = f"squawk did not end within {WITHIN_S:g} s."
    except (OSError, ValueError, KeyError) as error:
        found["error"] = f"squawk could not be used: {type(error).__name__}: {error}"
    return found


def _program() -> str | None:
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.is_file() else shutil.which("squawk")


def _claims(squawk: _Squawk, statements: Sequence[Mapping[str, Any]]) -> tuple[list[Json], list[int]]:
    """The claims, and the statements that squawk could not read: one of them hides all it says of others."""
    told = list(squawk.lint(_Script.of(statements)))
    unread = sorted({claim["statement"] for claim in told if claim["rule"] == SYNTAX_ERROR})
    if unread:
        legible = [statement for statement in statements if statement["n"] not in unread]
        told = list(squawk.lint(_Script.of(legible)))
    return [claim for claim in told if claim["rule"] != SYNTAX_ERROR], unread


def _not_read(unread: Sequence[int]) -> str:
    if not unread:
        return ""
    numbers = ", ".join(map(str, unread))
    return f"squawk could not read statement{'s' if len(unread) > 1 else ''} {numbers}."


@dataclass(frozen=True)
class _Script:
    """Statements as one SQL file; `begins` holds the line, from 0, at which each of `numbers` begins.

    The number of what stands between statements (BEGIN, COMMIT) is 0.
    """

    text: str
    begins: tuple[int, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, statements: Iterable[Mapping[str, Any]]) -> _Script:
        parts: list[tuple[int, str]] = []
        for transaction, own in groupby(statements, key=lambda statement: statement.get("transaction")):
            texts = [(int(statement["n"]), f"{_plain(statement['sql'])}\n;\n") for statement in own]
            around = transaction is not None
            parts += [(0, "BEGIN;\n"), *texts, (0, "COMMIT;\n")] if around else texts
        begins, line = [], 0
        for _, text in parts:
            begins.append(line)
            line += text.count("\n")
        return cls("".join(text for _, text in parts), tuple(begins), tuple(number for number, _ in parts))

    def statement_at(self, line: int) -> int:
        """The number of the statement on this line."""
        return self.numbers[bisect_right(self.begins, line) - 1]


def _plain(sql: str) -> str:
    """A statement without the driver's placeholders, and without a semicolon of its own."""
    return _PLACEHOLDER.sub("$1", sql).replace("%%", "%").replace("\0", "").rstrip().rstrip(";")


def _sentences(*texts: str | None) -> str:
    return " ".join(f"{text.strip().rstrip('.')}." for text in texts if text)


@dataclass(frozen=True)
class _Squawk:
    """The program, a folder to work in, and the instant by which it must have ended."""

    program: str
    place: Path
    folder: Path | None
    server_version: int | None
    deadline: float

    def version(self) -> str:
        """As `2.70.0`."""
        return self._run("--version").split()[-1]

    def lint(self, script: _Script) -> Iterable[Json]:
        """What it says of each statement, in its order."""
        if not script.numbers:
            return
        file = self.place / "migration.sql"
        file.write_text(script.text, encoding="utf-8", errors="replace")
        for violation in json.loads(self._run("--reporter=json", *self._options(), file.name)):
            statement = script.statement_at(int(violation["line"]))
            if statement:
                yield {
                    "statement": statement,
                    "rule": str(violation["rule_name"]),
                    "level": str(violation["level"]).lower(),
                    "message": _sentences(violation["message"], violation.get("help")),
                }

    def _options(self) -> list[str]:
        """Always settings by name: without, squawk looks for some in this folder and all above it."""
        settings = self.place / "empty.toml"
        settings.touch()
        own = None if self.folder is None else (self.folder / SETTINGS).absolute()
        options = [f"--config={own if own is not None and own.is_file() else settings}"]
        if self.server_version is not None:
            options.append(f"--pg-version={self.server_version // 10_000}.{self.server_version % 10_000}")
        return options

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(0.1, self.deadline - monotonic()),
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        if done.returncode not in (0, 1) or not output.strip():
            raise ValueError(done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}")
        return output
