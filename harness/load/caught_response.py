"""A response whose task decides, in a `with` block, whether the request succeeded: `catch_response=True`.

The words are those of Locust's own clients; unlike there, every such request comes to one recorded outcome,
also when an exception leaves the block, or the block is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from locust.exception import LocustError, ResponseError

from harness.load.causes import cause_of
from harness.load.http_response import Response

__all__ = ["CaughtResponse"]

Settle = Callable[[Response, str], None]
"""Records the request of a response as failed for a cause, or as ok for an empty one."""


class CaughtResponse(Response):
    """What came of a request that is recorded when the block ends, or when nobody holds this any more.

    `cause` is why the request failed as the answer has it, "" when it did not: what counts unless the task
    says otherwise.
    """

    def __init__(self, response: Response, cause: str, settle: Settle) -> None:
        self.__dict__.update(response.__dict__)
        self.js: Any = None
        """The content as JSON, where it was asked for by `rest()`."""
        self._cause = cause
        self._settle: Settle | None = settle
        self._entered = False

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        refused = isinstance(error, ResponseError)
        if refused and not self._cause:
            self._cause = _said(error, self)
        self._end()
        return refused

    def __del__(self) -> None:
        self._end()

    def success(self) -> None:
        """The request succeeded, whatever the answer says. Raises LocustError outside of a block."""
        self._check_entered()
        self._cause = ""

    def failure(self, why: object) -> None:
        """The request failed; equal ones should have equal texts. Raises LocustError outside of a block."""
        self._check_entered()
        self._cause = _said(why, self)

    def _check_entered(self) -> None:
        if not self._entered or self._settle is None:
            raise LocustError("Say so inside of `with self.client.…(…, catch_response=True) as response:`")

    def _end(self) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(self, self._cause)


def _said(why: object, response: Response) -> str:
    return cause_of(why if isinstance(why, BaseException) else str(why), response) or "failed"
