"""PostgreSQL's lexical rules: words, quoted names, strings, dollar quotes, comments, parameters.

https://www.postgresql.org/docs/current/sql-syntax-lexical.html, with `standard_conforming_strings` on. The
placeholders of psycopg (`%s`, `%(name)s`, `%%`) and asyncpg (`$1`) are known as well.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase
from typing import NamedTuple

from harness.core.names import quoted

__all__ = ["MOST_TOKENS", "Cursor", "NotUnderstoodError", "Token", "normalised", "tokens"]

MOST_TOKENS = 5_000
"""Tokens that are read of one text: a bulk insert's values say nothing more."""

_TOKEN = re.compile(
    r"""(?:\s+|--[^\n]*)*
    (?: (?P<word>[^\W\d][\w$]*(?![\w$'&]) | [^\W\d][\w$]{2,})
      | (?P<mark>[(),;.=*+/<>\[\]:](?!\*) )
      | (?P<string>(?:[nNbBxX]|[uU]&)?'[^']*(?:''[^']*)*' | [eE]'[^'\\]*(?:(?:''|\\.)[^'\\]*)*')
      | (?P<number>\d[\w.]* | \.\d+)
      | (?P<name>(?:[uU]&)?"[^"]*(?:""[^"]*)*")
      | (?P<parameter>\$\d+ | %s | %\([^)]*\)s)
      | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
      | (?P<comment>/\*)
      | (?P<lone>[^\W\d][\w$]*)
      | (?P<odd>\S)
      | $
    )""",
    re.VERBOSE | re.DOTALL,
)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
"""As PostgreSQL folds names in UTF-8: no letters but these."""
_LITERALS = re.compile(r"\?(?:, \?)+")
_ROWS = re.compile(r"\(\?\)(?:, \(\?\))+")
_TIGHT_BEFORE = ("(", ".", ":", "[")
_TIGHT_AFTER = (")", ".", ",", ";", ":", "[", "]")
_NORMALISED_TOKENS = 1_000
_COMMENT_EDGE = re.compile(r"/\*|\*/")


class NotUnderstoodError(Exception):
    """Text that this recogniser of PostgreSQL's grammar does not know; never leaves `parse`."""


class Token(NamedTuple):
    """`text` is lower-cased for a word, PostgreSQL's printing for a quoted name, else as written."""

    kind: str  # word, name, string, number, parameter, mark
    text: str
    start: int
    end: int


def tokens(sql: str) -> tuple[list[Token], bool]:
    """The tokens of a text, and whether all of it was read: no open quote or comment, not too long."""
    found: list[Token] = []
    whole = True
    at = 0
    while len(found) < MOST_TOKENS:
        match = _TOKEN.match(sql, at)
        if match is None or match.lastgroup is None:
            return found, whole
        kind, start, at = match.lastgroup, match.start(match.lastgroup), match.end()
        if kind == "comment":
            at = _comment_end(sql, at)
        elif kind == "dollar":
            end = sql.find(match["dollar"], at)
            at = len(sql) if end < 0 else end + len(match["dollar"])
            whole = whole and end >= 0
            found.append(Token("string", sql[start:at], start, at))
        elif kind == "odd" and match["odd"] in "'\"":
            return found, False
        else:
            found.append(_token(kind, match[kind], start, at))
    return found, False


def _token(kind: str, text: str, start: int, end: int) -> Token:
    if kind in ("word", "lone"):
        return Token("word", text.translate(_LOWER), start, end)
    if kind == "name":
        inner = text[text.index('"') + 1 : -1].replace('""', '"')
        return Token("name", quoted(inner), start, end)
    return Token("mark" if kind == "odd" else kind, text, start, end)


def _comment_end(sql: str, at: int) -> int:
    """Where the comment ends that was opened before `at`; comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def normalised(found: list[Token]) -> str:
    """The text with each literal, or list of them, as `?`; comments gone, spaces made one, lower case."""
    out: list[str] = []
    before = "("
    for token in found[:_NORMALISED_TOKENS]:
        text = "?" if token.kind in ("string", "number", "parameter") else token.text
        apart = before not in _TIGHT_BEFORE and text not in _TIGHT_AFTER
        out.append(f" {text}" if apart else text)
        before = text
    single = _LITERALS.sub("?", "".join(out).rstrip("; "))
    return _ROWS.sub("(?)", single)


class Cursor:
    """A place in the tokens of one statement."""

    def __init__(self, sql: str, found: list[Token]) -> None:
        self._sql = sql
        self._tokens = found
        self.at = 0

    @property
    def ended(self) -> bool:
        return self.at >= len(self._tokens)

    def ahead(self, n: int = 0) -> Token:
        """The token `n` further on; an empty mark behind the end."""
        place = self.at + n
        return self._tokens[place] if place < len(self._tokens) else Token("mark", "", 0, 0)

    def sees(self, *words: str) -> bool:
        """Whether these words or marks come next; a quoted name is never a word."""
        for n, word in enumerate(words):
            token = self.ahead(n)
            if token.text != word or token.kind not in ("word", "mark"):
                return False
        return True

    def sees_any(self, *words: str) -> bool:
        token = self.ahead()
        return token.text in words and token.kind in ("word", "mark")

    def takes(self, *words: str) -> bool:
        """Moves behind these words if they come next."""
        if not self.sees(*words):
            return False
        self.at += len(words)
        return True

    def takes_any(self, *words: str) -> str:
        """Moves behind one of these words; "" if none comes next."""
        if not self.sees_any(*words):
            return ""
        self.at += 1
        return self.ahead(-1).text

    def must(self, *words: str) -> None:
        if not self.takes(*words):
            raise NotUnderstoodError

    def identifier(self) -> str:
        """One name, as PostgreSQL prints it."""
        token = self.ahead()
        if token.kind not in ("word", "name"):
            raise NotUnderstoodError
        self.at += 1
        return _printed(token)

    def name(self) -> str:
        """A name that may have a schema before it."""
        found = [self.identifier()]
        while self.takes("."):
            found.append(self.identifier())
        return ".".join(found)

    def skip_item(self) -> None:
        """Moves behind one token, or behind all that is in the parentheses that open here."""
        depth = 0
        while not self.ended:
            text = self.ahead().text if self.ahead().kind == "mark" else ""
            self.at += 1
            depth += (text in ("(", "[")) - (text in (")", "]"))
            if depth <= 0:
                return

    def until(self, *stops: str) -> str:
        """The text up to one of these words or marks outside parentheses, or to the end."""
        first = self.at
        while not self.ended and not self.sees_any(*stops, ")"):
            self.skip_item()
        return self.text(first, self.at)

    def text(self, first: int, last: int) -> str:
        """What stands between two places: no comments, one space between words, `%%` unescaped."""
        written: list[str] = []
        for place in range(first, last):
            token = self._tokens[place]
            if written and token.start > self._tokens[place - 1].end:
                written.append(" ")
            written.append(self._sql[token.start : token.end])
        return "".join(written).replace("%%", "%")

    def parenthesised(self) -> str:
        """The text within the parentheses that open here."""
        first = self.at
        if not self.sees("("):
            raise NotUnderstoodError
        self.skip_item()
        return self.text(first + 1, self.at - 1)

    def inner(self) -> Cursor:
        """The tokens within the parentheses that open here; moves behind them."""
        first = self.at
        self.must("(")
        self.at = first
        self.skip_item()
        return Cursor(self._sql, self._tokens[first + 1 : self.at - 1])

    def to_end(self) -> None:
        """Moves behind the last token."""
        self.at = len(self._tokens)

    def listed(self) -> tuple[str, ...]:
        """The items of a parenthesised list: names in PostgreSQL's printing, others as written."""
        self.must("(")
        items: list[str] = []
        while not self.ended and not self.takes(")"):
            first = self.at
            written = self.until(",")
            plain = self.at == first + 1 and self.ahead(-1).kind in ("word", "name")
            items.append(_printed(self.ahead(-1)) if plain else written)
            self.takes(",")
        return tuple(items)


def _printed(token: Token) -> str:
    return quoted(token.text) if token.kind == "word" else token.text
