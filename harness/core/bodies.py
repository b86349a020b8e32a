"""Bodies: what a user sends, with placeholders for what differs from record to record, and the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.core.canary import Canary, read_text

__all__ = [
    "CanaryText",
    "NewId",
    "ShapeError",
    "canaries_in",
    "canary",
    "fill",
    "holds",
    "is_version",
    "names_in",
    "new_id",
    "record_in",
    "value_at",
    "version_of",
]


_NAMES = 12


class ShapeError(ValueError):
    """An answer does not hold what it should; says what was looked for, and what is there."""


@dataclass(frozen=True, slots=True)
class CanaryText:
    """Stands for the text by which a record tells whose it is; `canary("more")` goes on with `more`."""

    rest: str = ""

    def __call__(self, rest: str) -> CanaryText:
        """The same, followed by `rest`."""
        return CanaryText(rest)


@dataclass(frozen=True, slots=True)
class NewId:
    """Stands for a new record's id where the client chooses it, a random UUID; in an update for its id."""


canary = CanaryText()
new_id = NewId()


def fill(body: Any, text: Callable[[str], str], record_id: str, user: object) -> Any:
    """`body` with its placeholders filled in, however deep they lie.

    `text` makes the canary's text from what is to follow it; a function is called with `user`.
    """
    if isinstance(body, CanaryText):
        return text(body.rest)
    if isinstance(body, NewId):
        return record_id
    if isinstance(body, Mapping):
        return {name: fill(value, text, record_id, user) for name, value in body.items()}
    if isinstance(body, list | tuple):
        return [fill(value, text, record_id, user) for value in body]
    return body(user) if callable(body) else body


def holds(body: Any, kind: type[CanaryText] | type[NewId]) -> bool:
    """Whether a placeholder of `kind` is somewhere in `body`."""
    if isinstance(body, Mapping):
        return any(holds(value, kind) for value in body.values())
    if isinstance(body, list | tuple):
        return any(holds(value, kind) for value in body)
    return isinstance(body, kind)


def canaries_in(value: Any, fields: frozenset[str]) -> Iterator[Canary]:
    """The canaries of runs in a record: of its `fields`, or, where it has none of them, of all it holds."""
    if isinstance(value, Mapping) and fields & value.keys():
        value = {name: inner for name, inner in value.items() if name in fields}
    for text in _texts(value):
        says = read_text(text)
        if says is not None:
            yield says


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def record_in(answer: Any, key: str) -> Mapping[str, Any]:
    """The record in an answer about one: the answer itself, or the one thing in it that has a `key`.

    Raises ShapeError when there is none, or more than one.
    """
    if isinstance(answer, Mapping):
        if _is_id(answer.get(key)):
            return answer
        inner = [v for v in answer.values() if isinstance(v, Mapping) and _is_id(v.get(key))]
        if len(inner) == 1:
            return inner[0]
    raise ShapeError(f"no {key!r} in {_outline(answer)}")


def version_of(record: Mapping[str, Any], name: str) -> int:
    """The version of a record; raises ShapeError when it is not one that PostgreSQL's `integer` can be."""
    if is_version(record.get(name)):
        return int(record[name])
    raise ShapeError(f"no whole number {name!r} in a record")


def is_version(value: object) -> bool:
    """Whether a value of an answer can be a version."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def value_at(answer: Any, path: str) -> Any:
    """What stands in an answer at a path of names with dots between, None when nothing does."""
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    return answer


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def names_in(answer: Mapping[Any, Any]) -> str:
    """The names in an object, for a message; of many the first ones."""
    names = [repr(name) for name in islice(answer, _NAMES)]
    more = ["…"] if len(answer) > _NAMES else []
    return ", ".join(names + more) or "nothing"


def _outline(answer: Any) -> str:
    """The kind of thing an answer is, without what it holds."""
    if isinstance(answer, Mapping):
        return f"an object of {names_in(answer)}"
    return "a list" if isinstance(answer, list) else f"a {type(answer).__name__}"
