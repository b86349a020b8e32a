"""Answers about records: their JSON, the ids they tell, and a warning where they are of another shape."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.core.bodies import ShapeError, record_in
from harness.core.declaration import Declaration
from harness.load.http_response import Response

__all__ = ["answer_of", "id_of", "tells_an_id", "warning"]

_log = logging.getLogger(__name__)

_MEND = "Mend the Resource: its key, version or list_in."


def answer_of(response: Response) -> Any:
    """The answer's JSON; raises ShapeError when it is none."""
    try:
        return response.json()
    except ValueError:
        raise ShapeError("a body that is not JSON") from None


def id_of(response: Response, resource: Declaration) -> str:
    """The id that the service gave a new record: in its answer, else at the end of `Location`."""
    try:
        return str(record_in(answer_of(response), resource.key)[resource.key])
    except ShapeError:
        location = str(response.headers.get("Location") or "").rstrip("/") if response.headers else ""
        if location:
            return location.rsplit("/", 1)[-1]
        raise


def tells_an_id(response: Response) -> None:
    """Raise ShapeError when a create's answer can tell none, though it is not empty nor has a `Location`."""
    try:
        answer_of(response)
    except ShapeError:
        if response.content and not response.headers.get("Location"):
            raise


@contextmanager
def warning(what: str, mend: str = _MEND) -> Iterator[None]:
    """Say once per process and path that an answer is not of the shape that was declared; the others are in
    the record.
    """
    try:
        yield
    except ShapeError as error:
        if what not in _warned:
            _warned.add(what)
            _log.warning("%s: %s. %s", what, error, mend)


_warned: set[str] = set()
