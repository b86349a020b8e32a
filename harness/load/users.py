"""MigrationUser: a user whose every request, write and read can be judged afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust.contrib.fasthttp import FastHttpUser, FastResponse
from locust.env import Environment
from locust.exception import RescheduleTask

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.canary import foreign, make_text
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.pacing import Schedule, period
from harness.core.record import FinalRead
from harness.errors import SetupError
from harness.load.accounts import Actor, accounts_of
from harness.load.auth import Auth, Credentials, Login, LoginError, NoAuth
from harness.load.client import MeasuredSession, failure_cause, operation_outcome
from harness.load.final_read import read_back
from harness.load.foreign_reads import judge_foreign_read, shared_keys, status_for
from harness.load.hooks import on_final_read
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.valve import valve
from harness.load.websocket import Subscription

__all__ = ["MigrationUser"]

_LOGIN_WITHIN_S = 10.0
_LOGIN_PAUSE_S = 0.25
_SUBSCRIBED_WITHIN_S = 2.0
_FILLER = "lorem ipsum dolor sit amet " * 12


class MigrationUser(FastHttpUser):
    """A user with an account, a token, a WebSocket and a schedule of its own.

    It expects a collection of records with a client-chosen `id`, a `title`, a `body` and a `version` that an
    update names and raises by one: `POST`, `GET` with `limit` and `after`, and `GET`, `PUT`, `DELETE` of
    one. A subclass gives it tasks; the target rate is met when each of them makes one request.
    """

    abstract = True

    collection: ClassVar[str] = "/documents"
    websocket_path: ClassVar[str | None] = "/ws"

    auth: ClassVar[Auth] = NoAuth()
    """How the accounts prove themselves to the service."""

    probe_path: ClassVar[str | None] = None
    """What tokens are tried on after the migration: a path that only an account may read.
    None: the collection."""

    account_name: ClassVar[str] = "account-{:04}"
    """What accounts are called that no file lists, by their number from 1."""

    account_password: ClassVar[str] = "correct horse battery staple"  # noqa: S105 - the seeded accounts'
    """The password of accounts that no file lists."""

    period_s: ClassVar[float] = 0.375
    """Seconds between two tasks when the run has no target rate."""

    foreign_read_ratio: ClassVar[float] = 0.01
    """How many foreign records are asked for, per request of the load."""

    foreign_refusals: ClassVar[frozenset[int]] = frozenset({404})
    """Statuses that refuse a foreign record."""

    run_settings: RunSettings
    account: Account
    login: Login
    random: Random
    client: MeasuredSession

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        base_url = str(self.host).rstrip("/")
        self.client = MeasuredSession(base_url, environment.events.request, self)
        self.documents: dict[uuid.UUID, int | None] = {}
        """The account's records that this user wrote, with the version it knows of each, if it does."""
        self._listed: list[uuid.UUID] = []
        self._wallets: list[int] = []
        self._aside = Group()
        self._probing: gevent.Greenlet | None = None

    @classmethod
    def path_to_probe(cls) -> str | None:
        """The path that tokens are tried on."""
        return cls.probe_path or cls.collection

    # life

    def on_start(self) -> None:
        """Log in, open the WebSocket, and wait for the first slot of the schedule."""
        self.run_settings = settings = _settings()
        self._join(settings)
        self._log_in()
        if self.websocket_path:
            stream = Subscription(str(self.client.base_url), self.websocket_path, self.login, self.random)
            self._aside.spawn(stream.run)
            stream.subscribed.wait(_SUBSCRIBED_WITHIN_S)
        pace = period(settings.users, settings.target_rate) if settings.target_rate else self.period_s
        self._schedule = Schedule(monotonic(), pace, self.random.random())
        self.wait()  # type: ignore[no-untyped-call]

    def wait_time(self) -> float:
        """Seconds until the next slot; the task's first request counts from that instant."""
        slot = self._schedule.take(monotonic())
        self.client.due = slot.intended
        return slot.wait_s

    def _join(self, settings: RunSettings) -> None:
        run = accounts_of(settings)
        number = run.pool.take()

        def leave(_: object) -> None:
            self._aside.kill(block=False)
            run.pool.give_back(number)

        # Linked to the greenlet: on_stop is not called when on_start raises.
        gevent.getcurrent().link(leave)
        self.client.number = number
        self.account = run.account(number, self.account_name, self.account_password)
        self.random = Random(f"{settings.seed}:{self.account.name}")  # noqa: S311 - repeatable on purpose
        self.login = Login(self.auth, self.account, self.client, self.random.uniform(0.75, 0.85))
        run.actors[self.account.name] = Actor(self.login, self.collection, self.path_to_probe())

    def _log_in(self) -> None:
        """Try for a while; a user that could not goes to work all the same, and each task tries again.

        An exception here would end the user for good (locust/user/users.py, `User.run`).
        """
        give_up = monotonic() + _LOGIN_WITHIN_S
        pause = _LOGIN_PAUSE_S
        while not valve.closed and monotonic() < give_up:
            try:
                self.login.credentials(self.client.request_now)
            except LoginError:
                gevent.sleep(pause * self.random.uniform(0.5, 1.0))
                pause *= 2
            else:
                return

    # requests

    def call(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Container[int] = range(200, 300),
        **payload: Any,
    ) -> FastResponse:
        """One request as this account; when its credentials are refused once more, with a fresh login."""
        credentials = self._credentials()
        response = self._send(credentials, method, path, name, expect, payload)
        if response.status_code not in expect and self.auth.refuses(response):
            self.login.refused(credentials)
            credentials = self._credentials()
            response = self._send(credentials, method, path, name, expect, payload)
        self.login.answered(credentials, response)
        if self.random.random() < self.foreign_read_ratio and not self._is_probing():
            self._probing = self._aside.spawn(self._read_foreign)
        return response

    def write(
        self,
        kind: OperationKind,
        key: uuid.UUID,
        version: int,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Container[int] = range(200, 300),
        **payload: Any,
    ) -> OperationOutcome:
        """One request that writes the record `key`, booked in the ledger; it would leave `version` behind."""
        self._credentials()
        attempt = _Attempt(self.account.name, key, kind, version, monotonic())
        outcome = OperationOutcome.INDETERMINATE  # unless an answer says otherwise: this user may be killed
        try:
            _attempts.append(attempt)
            outcome = operation_outcome(self.call(method, path, name=name, expect=expect, **payload))
        finally:
            _book(attempt, outcome)
        return outcome

    def check(self, response: FastResponse, what: str) -> None:
        """Look for other accounts' canaries in what this account was shown."""
        others = foreign(response.text or "", self.account.name)
        if others:
            recorder.probe(
                self.account.name, "canary", "leaked", f"{what} showed {', '.join(sorted(others))}"
            )
        else:
            recorder.read_checked()

    def _credentials(self) -> Credentials:
        try:
            return self.login.credentials(self.client.request)
        except LoginError as error:
            raise RescheduleTask from error  # the failed login is recorded; the next slot tries again

    def _send(
        self,
        credentials: Credentials,
        method: str,
        path: str,
        name: str | None,
        expect: Container[int],
        payload: dict[str, Any],
    ) -> FastResponse:
        return self.client.request(method, path, name, expect=expect, **credentials.signed(method, payload))

    # what a person does

    def list(self) -> None:
        """Read a page of the account's records, from a random place on."""
        path = f"{self.collection}?limit=20&after={uuid.UUID(int=self.random.getrandbits(128))}"
        response = self.call("GET", path, name=self.collection)
        if not failure_cause(response):
            self.check(response, f"GET {self.collection}")
            self._listed = [uuid.UUID(item["id"]) for item in response.json()["items"]] or self._listed

    def read(self, key: uuid.UUID | None = None) -> None:
        """Read one record: `key`, or one that this user wrote or was shown in a list."""
        key = key or self._known_key()
        if key is None:
            self.list()
            return
        response = self.call("GET", f"{self.collection}/{key}", name=self._one)
        if response.status_code == 404:
            self._forget(key)  # the failed read is recorded, and the ledger finds what is lost
        if failure_cause(response):
            return
        self.check(response, f"GET {self._one}")
        if key in self.documents:
            self.documents[key] = response.json()["version"]
            shared_keys(self.run_settings.run_id).share(key, self.login)

    def create(self) -> None:
        """Write a new record."""
        key = uuid.uuid4()  # not from the seed: a second run against the same database must not meet its keys
        content = {"id": str(key), **self._content(1)}
        outcome = self.write(
            OperationKind.CREATE, key, 1, "POST", self.collection, expect={201}, json=content
        )
        if outcome is OperationOutcome.OK:
            self.documents[key] = 1

    def update(self) -> None:
        """Write the next version of one of this user's records; read it first when its version is unknown."""
        if not self.documents:
            self.create()
            return
        key = self.random.choice(tuple(self.documents))
        version = self.documents[key]
        if version is None:
            self.read(key)
            return
        self.documents[key] = None
        content = {"version": version, **self._content(version + 1)}
        path = f"{self.collection}/{key}"
        outcome = self.write(
            OperationKind.UPDATE,
            key,
            version + 1,
            "PUT",
            path,
            name=self._one,
            expect={200, 409},
            json=content,
        )
        if outcome is OperationOutcome.OK:
            self.documents[key] = version + 1

    def delete(self) -> None:
        """Delete one of this user's records, or create one when there are none."""
        if not self.documents:
            self.create()
            return
        key = self.random.choice(tuple(self.documents))
        version = self.documents[key] or 0
        self._forget(key)
        shared_keys(self.run_settings.run_id).withdraw(key)
        path = f"{self.collection}/{key}"
        outcome = self.write(OperationKind.DELETE, key, version, "DELETE", path, name=self._one, expect={204})
        if outcome is OperationOutcome.FAIL:
            self.documents[key] = None

    def transfer(self) -> None:
        """Move a little money between two of the account's wallets."""
        if not self._wallets:
            response = self.call("GET", "/wallets")
            if not failure_cause(response):
                self.check(response, "GET /wallets")
                self._wallets = [wallet["id"] for wallet in response.json()]
            return
        key = uuid.uuid4()
        source, target = self.random.sample(self._wallets, 2)
        order = {"id": str(key), "from": source, "to": target, "amount": self.random.randint(1, 10)}
        self.write(OperationKind.TRANSFER, key, 0, "POST", "/transfers", expect={201, 409}, json=order)

    @property
    def _one(self) -> str:
        return f"{self.collection}/{{id}}"

    def _content(self, version: int) -> dict[str, str]:
        text = make_text(self.account.name, self.run_settings.canary, version)
        return {"title": text, "body": f"{text} {_FILLER}"}

    def _known_key(self) -> uuid.UUID | None:
        keys = tuple(self.documents) + tuple(self._listed)
        return self.random.choice(keys) if keys else None

    def _forget(self, key: uuid.UUID) -> None:
        self.documents.pop(key, None)
        self._listed = [listed for listed in self._listed if listed != key]

    # isolation

    def _is_probing(self) -> bool:
        return self._probing is not None and not self._probing.dead

    def _read_foreign(self) -> None:
        """Ask for another account's record, then, as the control, let its owner ask for it.

        Runs beside the user and apart from the load: it delays no task and is in no sample.
        """
        others = shared_keys(self.run_settings.run_id).foreign_to(self.account)
        if not others:
            return
        key, owner = self.random.choice(others)
        path = f"{self.collection}/{key}"
        shown, control = status_for(self.login, path), status_for(owner, path)
        outcome, detail = judge_foreign_read(shown, control, self.foreign_refusals)
        recorder.probe(self.account.name, "foreign_read", outcome, detail and f"GET {self._one}: {detail}")


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """A write that has no outcome yet."""

    account: str
    key: uuid.UUID
    kind: OperationKind
    version: int
    invoked: float


_attempts: list[_Attempt] = []


def _book(attempt: _Attempt, outcome: OperationOutcome) -> None:
    """Enter the attempt in the ledger, unless it is there already."""
    if attempt in _attempts:
        _attempts.remove(attempt)
        recorder.operation(
            attempt.account, attempt.key, attempt.kind, attempt.version, attempt.invoked, monotonic(), outcome
        )


@on_final_read
def _read_everything_back() -> Iterator[FinalRead]:
    """What this process's accounts are shown; writes still unanswered may turn up, so they are booked."""
    for attempt in tuple(_attempts):
        _book(attempt, OperationOutcome.INDETERMINATE)
    settings = _settings()
    return read_back(tuple(accounts_of(settings).actors.values()), settings.canary)


def _settings() -> RunSettings:
    if recorder.settings is None:
        raise SetupError(
            "MigrationUser was started, but no run was.",
            "Write `import harness.locust` first in the locustfile.",
        )
    return recorder.settings
