"""Bait: a record that is written only so that a stranger can be set on it.

It bears a canary by which the ledger does not take it for one of the run's, so a probe that succeeds costs
nobody an acknowledged write. It is written, and removed, apart from the load.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.bodies import ShapeError, canaries_in, fill, record_in
from harness.core.canary import make_text
from harness.core.declaration import Declaration
from harness.core.isolation import Shown
from harness.load.accounts import Actor
from harness.load.answers import answer_of, id_of
from harness.load.client import failure_cause
from harness.load.http_response import Response
from harness.load.records import set_apart

__all__ = ["Ask", "Bait", "NoRecordError"]


@dataclass(frozen=True)
class Ask:
    """Sends requests apart from the load, each after a pause."""

    pause: Callable[[], None]

    def __call__(self, actor: Actor, method: str, path: str, json: Any = None) -> Response:
        login = actor.login
        credentials = login.credentials(login.session.unrecorded)
        payload = {} if json is None else {"json": json}
        self.pause()
        return login.session.unrecorded(method, path, **credentials.signed(method, payload))


class NoRecordError(Exception):
    """No record could be had to probe; says why."""


class Bait:
    """A record of an account that a stranger is set on."""

    def __init__(self, owner: Actor, resource: Declaration, run: str, ask: Ask) -> None:
        self.owner = owner
        self.resource = resource
        self.id = ""
        self._apart = set_apart(run)
        self.run = run
        self._key = uuid.uuid4()
        self._version = 1
        self._states: list[object] = []
        self._ask = ask

    @property
    def path(self) -> str:
        """Where it is read."""
        return self.resource.path_of(self.id)

    def create(self) -> None:
        """Write it; raises NoRecordError."""
        response = self._post()
        if cause := failure_cause(response, self.resource.created):
            raise NoRecordError(f"POST {self.resource.path}: {cause}")
        self._learn(response)

    def try_create(self) -> int:
        """The status that the attempt to write it was answered with."""
        response = self._post()
        if not failure_cause(response, self.resource.created):
            self._learn(response)
        return response.status_code

    def remove(self) -> str:
        """Delete it as its owner, if that is declared; why that failed, "" when it did not."""
        if not self.id or "delete" not in self.resource.does:
            return ""
        return failure_cause(self._ask(self.owner, "DELETE", self.path))

    def _post(self) -> Response:
        self._apart.add(str(self._key))
        body = self.body(self.owner, self.resource.create or {}, 1, str(self._key))
        return self._ask(self.owner, "POST", self.resource.path, body)

    def _learn(self, response: Response) -> None:
        try:
            self.id = str(self._key) if self.resource.chooses_id else id_of(response, self.resource)
        except ShapeError as error:
            raise NoRecordError(f"POST {self.resource.path}: {error}") from None
        self._apart.add(self.id)

    def shown(self) -> Shown:
        """What its owner is shown of it."""
        response = self._ask(self.owner, "GET", self.path)
        state = self._state_in(response)
        again = state in self._states
        self._states.append(state)
        return Shown(response.status_code, state, again)

    def change(self, by: Actor, path: str, **fields: Any) -> Response:
        """Have an account send the record's next version to `path`, with other `fields` in its body."""
        resource = self.resource
        body = {**self.body(by, resource.change, 2, self.id), **fields}
        if resource.version is not None:
            body = {resource.version: self._version, **body}
        return self._ask(by, resource.update_method, path, body)

    def body(self, by: Actor, declared: Mapping[str, Any], version: int, record_id: str) -> dict[str, Any]:
        """A body as declared, with the canary of the account that sends it."""

        def text(rest: str) -> str:
            return make_text(by.login.account.name, f"{self.run}.probe", version, rest, self._key)

        filled: dict[str, Any] = fill(declared, text, record_id, by.user)
        return filled

    def _state_in(self, response: Response) -> object:
        """What a change of the record cannot leave as it is; None where the resource shows nothing of it."""
        resource = self.resource
        if not resource.tells_versions or failure_cause(response):
            return None
        try:
            record = record_in(answer_of(response), resource.key)
        except ShapeError:
            return None
        told = sorted((one.account, one.version) for one in canaries_in(record, resource.marked))
        version = record.get(resource.version) if resource.version is not None else None
        self._version = version if isinstance(version, int) else self._version
        return (version, told) if told or version is not None else None
