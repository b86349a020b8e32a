"""Accounts of the service under test, and the file that lists them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError

__all__ = ["Account", "accounts_of_text"]

_NAMED_BY = ("username", "email", "name")
"""The columns that may hold what an account logs in as; the first one there counts."""

_NAME = re.compile(r"[\w@+](?:[\w.@+-]*[\w@+])?")
"""A name that a canary can carry (`core/canary.py`)."""


@dataclass(frozen=True)
class Account:
    """The person in the service as whom a user acts. `columns` are all that the accounts file says of it."""

    name: str
    password: str = field(default="", repr=False)
    columns: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def fill(self, template: Any) -> Any:
        """The template with `{name}`, `{password}` and every column in braces replaced by this account's.

        Goes through mappings and lists. A text that is nothing but one column keeps that value's own type.
        Raises KeyError for what the account does not have.
        """
        if isinstance(template, Mapping):
            return {key: self.fill(value) for key, value in template.items()}
        if isinstance(template, list | tuple):
            return [self.fill(value) for value in template]
        if not isinstance(template, str):
            return template
        values = {**self.columns, "name": self.name, "password": self.password}
        alone = re.fullmatch(r"\{(\w+)\}", template)
        return values[alone[1]] if alone else template.format_map(values)


def accounts_of_text(text: str, file: str) -> tuple[Account, ...]:
    """The accounts of a file's text: a JSON list of objects, or CSV with a header.

    Columns: `username`, `email` or `name` (the first of them that there is, is what the account logs in as),
    `password`, and any others. Raises UsageError, which names the line or entry and no secret.
    """
    rows = _json_rows(text, file) if text.lstrip().startswith(("[", "{")) else _csv_rows(text, file)
    return tuple(_checked(rows, file))


def _csv_rows(text: str, file: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise UsageError(
                    f"{file}, {where}: it has not as many values as the header has names ({len(header)}).",
                    "Put a value that holds a comma into double quotes.",
                )
            yield where, row
    except csv.Error as error:
        raise UsageError(
            f"{file}, line {reader.line_num}: this is no CSV: {error}.", "Separate values by commas."
        ) from error


def _json_rows(text: str, file: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    remedy = 'Write [{"username": "ann", "password": "…"}, …].'
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}, line {error.lineno}: this is no JSON: {error.msg}.", remedy) from None
    if not isinstance(rows, list):
        raise UsageError(f"{file} holds one JSON object, not a list of them.", remedy)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UsageError(f"{file}, entry {number}: it is no object.", remedy)
        yield f"entry {number}", row


def _checked(rows: Iterable[tuple[str, Mapping[str, Any]]], file: str) -> Iterator[Account]:
    seen: dict[str, str] = {}
    for where, row in rows:
        column = next((name for name in _NAMED_BY if name in row), None)
        if column is None:
            raise UsageError(
                f"{file}, {where}: no column says what the account is called; there are: {', '.join(row)}.",
                f"Name one of them {_NAMED_BY[0]}, {_NAMED_BY[1]} or {_NAMED_BY[2]}.",
            )
        name = str(row[column] or "").strip()
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{file}, {where}: {column} is {name!r}, which no account of a run can be called.",
                "Use letters, digits, and . _ + - @ between them.",
            )
        if name in seen:
            raise UsageError(
                f"{file}, {where}: {name} is there already, in {seen[name]}.",
                "Give each account once: two users must not act as the same one.",
            )
        seen[name] = where
        yield Account(name, str(row.get("password") or ""), dict(row))
    if not seen:
        raise UsageError(f"{file} lists no account.", "Write a header and one line per account.")
