"""MigrationUser: a user whose every request, write and read can be judged afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container, Iterator, KeysView, Sequence
from dataclasses import asdict
from random import Random
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust.env import Environment
from locust.exception import RescheduleTask, StopTest
from locust.user import User
from locust.user.task import TaskSet
from locust.user.users import RestMixin

from harness.clock import monotonic
from harness.core.accounts import Account
from harness.core.canary import all_own, foreign, told
from harness.core.declaration import Declaration
from harness.core.isolation import CANARY, LEAKED
from harness.core.operations import OperationKind, OperationOutcome
from harness.core.record import FinalRead, Total
from harness.core.stream import Stream
from harness.errors import SetupError
from harness.load.accounts import Actor, accounts_of
from harness.load.arrivals import Turns, arrivals
from harness.load.auth import Auth, Credentials, Login, LoginError, NoAuth
from harness.load.caught_response import CaughtResponse
from harness.load.client import MeasuredSession, Reader, failure_cause, operation_outcome
from harness.load.continuity import control
from harness.load.declared_tasks import DeclaredTask, declared_tasks
from harness.load.final_read import read_back
from harness.load.foreign_reads import SharedRecord, read_foreign, shared_records
from harness.load.hooks import on_final_read
from harness.load.http_response import Response
from harness.load.messages import RunSettings
from harness.load.recorder import recorder
from harness.load.resource import Resource
from harness.load.subscription import Subscription
from harness.load.totals import Totals
from harness.load.valve import valve
from harness.load.writes import Write, begin, book, book_unanswered

__all__ = ["MigrationUser"]

_LOGIN_WITHIN_S = 10.0
_LOGIN_PAUSE_S = 0.25
_SUBSCRIBED_WITHIN_S = 2.0


class MigrationUser(User, RestMixin[CaughtResponse]):
    """A user with an account, a token, a schedule and records of its own.

    A subclass declares its records, each kind as a `Resource`, and gives it tasks; without any it does what
    its resources can. The target rate is met when each task makes one request.
    """

    abstract = True

    stream: ClassVar[Stream | None] = None
    """Where, and in which words, the account's changes are pushed."""

    auth: ClassVar[Auth] = NoAuth()
    """How the accounts prove themselves to the service."""

    probe_path: ClassVar[str | None] = None
    """What tokens are tried on after the migration: a path that only an account may read.
    None: the list of the first resource that is private."""

    account_name: ClassVar[str] = "account-{:04}"
    """What accounts are called that no file lists, by their number from 1."""

    account_password: ClassVar[str] = "correct horse battery staple"  # noqa: S105 - the seeded accounts'
    """The password of accounts that no file lists."""

    pages: ClassVar[Sequence[str]] = ()
    """Paths that are simply read, by a user without tasks of its own."""

    insecure: ClassVar[bool] = False
    """Whether any certificate will do, over TLS: a service under test may have signed its own."""

    period_s: ClassVar[float] = 0.375
    """Seconds between two tasks when the run has no target rate."""

    foreign_read_ratio: ClassVar[float] = 0.01
    """How many foreign records are asked for, per request of the load."""

    run_settings: RunSettings
    account: Account
    account_login: Login
    random: Random
    client: MeasuredSession

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if self.host is None:
            raise StopTest("No service is named: give --host, or set `host` in the class of users.")
        self.client = MeasuredSession(self.host, environment.events.request, self, verified=not self.insecure)
        self._aside = Group()
        self._probing: gevent.Greenlet | None = None
        self._turns: Turns | None = None
        self._first: MigrationUser | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = [task for task in cls.tasks if not isinstance(task, DeclaredTask)]
        cls.tasks = own or list(declared_tasks(cls.resources(), cls.declared_totals(), cls.pages))

    @classmethod
    def resources(cls) -> dict[str, Resource]:
        """The declared resources, by name."""
        return {name: one for name, one in cls._declared() if isinstance(one, Resource)}

    @classmethod
    def declared_totals(cls) -> dict[str, Totals]:
        """The declared totals, by name."""
        return {name: one for name, one in cls._declared() if isinstance(one, Totals)}

    @classmethod
    def _declared(cls) -> Iterator[tuple[str, object]]:
        """What stands in the class and those that it is made of, by name."""
        names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        return ((name, getattr(cls, name, None)) for name in names)

    @classmethod
    def path_to_probe(cls) -> str | None:
        """The path that tokens are tried on."""
        lists = (one.path for one in cls.resources().values() if one.private and "list" in one.does)
        return cls.probe_path or next(lists, None)

    # life

    def on_start(self) -> None:
        """Log in, open the WebSocket, and wait for the first turn; a further session has all but the last
        from its user.
        """
        if self._first is not None:
            self._join_beside(self._first)
            self.wait()  # type: ignore[no-untyped-call]
            return
        self.run_settings = settings = _settings()
        self._join(settings)
        self._log_in()
        self._aside.spawn(control, self.account_login, self.path_to_probe())
        if self.stream is not None:
            host = str(self.client.base_url)
            subscription = Subscription(host, self.stream, self.account_login, self.random)
            self._aside.spawn(subscription.run)
            subscription.subscribed.wait(_SUBSCRIBED_WITHIN_S)
        self._turns = arrivals.turns(self.random, self.period_s, self)
        self.wait()  # type: ignore[no-untyped-call]

    def wait_time(self) -> float:
        """Seconds until the next turn; the task's first request counts from that instant, in a closed loop
        from its send. A subclass that has its own is in a closed loop.
        """
        if self._turns is None:
            raise SetupError(
                f"{type(self).__name__} has an on_start that leaves out MigrationUser's.",
                "Call super().on_start() in it.",
            )
        slot = self._turns.take(monotonic())
        self.client.due = slot.intended
        return slot.wait_s

    def open_session(self, turns: Turns) -> None:
        """Start one more session of this account, which takes its turns from `turns`."""
        other = type(self)(self.environment)
        other._first, other._turns = self, turns
        other.start(valve.sessions).link(other._leave)

    def _join_beside(self, first: MigrationUser) -> None:
        self.run_settings = first.run_settings
        self.account, self.account_login = first.account, first.account_login
        self.client.number = first.client.number
        self.random = Random(first.random.getrandbits(64))  # noqa: S311 - repeatable on purpose

    def _leave(self, _: object) -> None:
        self._aside.kill(block=False)
        if self._turns is not None:
            arrivals.leave(self._turns)

    def _join(self, settings: RunSettings) -> None:
        run = accounts_of(settings)
        number = run.pool.take()

        def leave(_: object) -> None:
            self._leave(_)
            run.pool.give_back(number)

        # Linked to the greenlet: on_stop is not called when on_start raises.
        gevent.getcurrent().link(leave)
        self.client.number = number
        self.account = run.account(number, self.account_name, self.account_password)
        self.random = Random(f"{settings.seed}:{self.account.name}")  # noqa: S311 - repeatable on purpose
        self.account_login = Login(self.auth, self.account, self.client, self.random.uniform(0.75, 0.85))
        resources = tuple(self.resources().values())
        totals = tuple(self.declared_totals().values())
        run.actors[self.account.name] = Actor(
            self.account_login, resources, self.path_to_probe(), totals, self
        )

    def _log_in(self) -> None:
        """Try for a while; a user that could not goes to work all the same, and each task tries again.

        An exception here would end the user for good (locust/user/users.py, `User.run`).
        """
        give_up = monotonic() + _LOGIN_WITHIN_S
        pause = _LOGIN_PAUSE_S
        while not valve.closed and monotonic() < give_up:
            try:
                self.account_login.credentials(self.client.request_now)
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
        private: bool | None = None,
        reader: Reader | None = None,
        **payload: Any,
    ) -> Response:
        """One request as this account; when its credentials are refused once more, with a fresh login.

        An answer that is `private` must not show another account's data; one that is not may. None: an answer
        that is not as expected must not. `reader` looks into the answer: what it raises ShapeError for is
        recorded as an error.
        """
        options = {"expect": expect, "reader": reader}
        credentials = self._credentials()
        response = self._send(credentials, method, path, name, private, options, payload)
        if response.status_code not in expect and self.auth.refuses(response):
            self.account_login.refused(credentials)
            credentials = self._credentials()
            response = self._send(credentials, method, path, name, private, options, payload)
        self.account_login.answered(credentials, response)
        if self.random.random() < self.foreign_read_ratio and not self._is_probing():
            self._probing = self._aside.spawn(
                read_foreign, self.run_settings.run_id, self.account_login, self.random
            )
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
        answered: Callable[[Response], None] | None = None,
        **payload: Any,
    ) -> OperationOutcome:
        """One request that writes the record `key`, booked in the ledger; it would leave `version` behind: a
        number that rises with each write of the record, or is always the same.

        `answered` is called with the response of a write that was acknowledged, or accepted (202).
        """
        self._credentials()
        write = Write(self.account.name, key, kind, version, monotonic())
        outcome = OperationOutcome.INDETERMINATE  # unless an answer says otherwise: this user may be killed
        if kind is OperationKind.CREATE:
            recorder.websockets.creating(str(key), write.invoked)
        try:
            begin(write)
            response = self.call(method, path, name=name, expect=expect, **payload)
            outcome = operation_outcome(response)
        finally:
            book(write, outcome)
        if answered is not None and not failure_cause(response):
            answered(response)
        return outcome

    def created(self, key: uuid.UUID, record_id: str) -> None:
        """The service calls the record `key`, which was created, by an id of its own."""
        recorder.websockets.created(str(key), record_id)

    def saw(self, key: uuid.UUID, shown: int, version: int, since: float) -> None:
        """A read that began at the instant `since`, and has just ended, showed the record `key` so many
        times, in this version; 0 where it told none, or found no record.
        """
        read, ok = OperationKind.READ, OperationOutcome.OK
        recorder.operation(self.account.name, key, read, version, since, monotonic(), ok, shown)

    def looked_at(self, endpoint: str, key: uuid.UUID, names: KeysView[str], since: float) -> None:
        """A read that began at the instant `since`, and has just ended, showed the record `key` so."""
        recorder.shapes.saw(endpoint, key, names, since, monotonic())

    def summed(self, total: Total, since: float) -> None:
        """A read that began at the instant `since`, and has just ended, came to `total`."""
        now = monotonic()
        line = {"account": self.account.name, **asdict(total), "took_s": round(now - since, 6)}
        recorder.line("totals.ndjson", line, now)

    def check(self, response: Response, what: str) -> None:
        """Look for other accounts' canaries in what this account was shown, whatever its status.

        An answer counts as checked when it bears this account's own canary: there another could be seen.
        """
        own = self.account.name
        seen = all_own(response.content, own)
        if seen is None:
            return
        others = set() if seen else foreign(response.text, own)
        if not others:
            recorder.read_checked()
            return
        who, status = told(others), response.status_code
        answered = "" if 200 <= status < 300 else f" (HTTP {status})"
        recorder.probe(self.account.name, CANARY, LEAKED, f"{what} showed {who}{answered}")

    def _credentials(self) -> Credentials:
        try:
            return self.account_login.credentials(self.client.request)
        except LoginError as error:
            raise RescheduleTask from error  # the failed login is recorded; the next slot tries again

    def _send(
        self,
        credentials: Credentials,
        method: str,
        path: str,
        name: str | None,
        private: bool | None,
        options: dict[str, Any],
        payload: dict[str, Any],
    ) -> Response:
        signed = credentials.signed(method, payload)
        response = self.client.request(method, path, name, **options, **signed)
        if private or (private is None and response.status_code not in options["expect"]):
            self.check(response, f"{method} {name or path}")
        return response

    # isolation

    def _is_probing(self) -> bool:
        return self._probing is not None and not self._probing.dead

    def share(self, resource: Declaration, record_id: str) -> None:
        """Have users of other accounts ask for this record, which this one has just read."""
        shared_records(self.run_settings.run_id).share(SharedRecord(resource, record_id), self.account_login)

    def withdraw(self, resource: Declaration, record_id: str) -> None:
        """The record is about to be deleted."""
        shared_records(self.run_settings.run_id).withdraw(SharedRecord(resource, record_id))


_wait: Any = TaskSet.wait


def _wait_with_nothing_due(task_set: TaskSet) -> None:
    """What the last answer left due ends with its task, also where a class has its own `wait_time`."""
    if isinstance(task_set.user, MigrationUser):
        task_set.user.client.due = None
    _wait(task_set)


TaskSet.wait = _wait_with_nothing_due  # type: ignore[method-assign]


@on_final_read
def _read_everything_back() -> Iterator[FinalRead]:
    """What this process's accounts are shown; writes still unanswered may turn up, so they are booked."""
    book_unanswered()
    settings = _settings()
    return read_back(tuple(accounts_of(settings).actors.values()), settings)


def _settings() -> RunSettings:
    if recorder.settings is None:
        raise SetupError(
            "MigrationUser was started, but no run was.",
            "Write `import harness.locust` first in the locustfile.",
        )
    return recorder.settings
