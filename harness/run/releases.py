"""The drill `old-code-new-schema`: the service's release N and its release N+1, each on the schema before the
migration and on the one after it.

Beside the traffic, which the running release N serves all the time, a process of release N+1 is started on
the same database. Both are asked the same few questions before the migration and after it, as accounts that
nobody else uses.
"""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from harness.clock import monotonic
from harness.errors import HarnessError, SetupError
from harness.run.drills import Noted
from harness.run.http import open_url
from harness.run.services import Services, end_of_log, end_process, free_port

__all__ = ["NEXT", "AfterMigration", "BeforeMigration", "Releases", "ask"]

NEXT = "n+1"
"""As MUL_TARGET_RELEASE has it."""

STARTS_WITHIN_S = 30.0
ASKED_WITHIN_S = 30.0
ANSWER_WITHIN_S = 5.0

Answers = dict[str, int]
"""The status of each question, by its name; 0 where no answer came."""


def ask(base: str, account: str) -> Answers:
    """What a service answers a person that signs in, writes, reads and deletes a document, and moves money.

    A question that could not be asked, as it builds upon an answer that did not come, is left out.
    """
    person = _Person(base, account)
    person.sign_in()
    if person.token:
        person.work_on_a_document()
        person.move_money()
    return person.answers


@dataclass
class _Person:
    base: str
    account: str
    token: str = field(default="", repr=False)
    answers: Answers = field(default_factory=dict)

    def sign_in(self) -> None:
        password = uuid.uuid5(uuid.NAMESPACE_OID, self.account).hex
        registration = {"name": self.account, "password": password}
        self._ask("register", "POST", "/register", json=registration, also=409)
        form = {"grant_type": "password", "username": self.account, "password": password}
        answer = self._ask("log in", "POST", "/token", form=form)
        self.token = str(answer.get("access_token", "")) if isinstance(answer, dict) else ""

    def work_on_a_document(self) -> None:
        key = str(uuid.uuid4())
        one, content = f"/documents/{key}", {"title": "of two releases", "body": "lorem ipsum"}
        self._ask("create", "POST", "/documents", json={"id": key, **content})
        self._ask("list", "GET", "/documents")
        self._ask("read", "GET", one)
        self._ask("update", "PUT", one, json={**content, "version": 1})
        self._ask("delete", "DELETE", one)

    def move_money(self) -> None:
        wallets = self._ask("see wallets", "GET", "/wallets")
        if isinstance(wallets, list) and len(wallets) > 1:
            source, target = wallets[0]["id"], wallets[1]["id"]
            order = {"id": str(uuid.uuid4()), "from": source, "to": target, "amount": 1}
            self._ask("transfer", "POST", "/transfers", json=order)

    def _ask(
        self,
        name: str,
        method: str,
        path: str,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        also: int = 0,
    ) -> Any:
        """The body of an answer of 2xx, or with the status `also`; None of any other."""
        request = urllib.request.Request(self.base + path, _body(json, form), method=method)
        request.add_header("Content-Type", "application/json" if form is None else FORM)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with open_url(request, ANSWER_WITHIN_S) as answer:
                self.answers[name], text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            self.answers[name] = 200 if error.code == also else error.code
            return None
        except (OSError, HTTPException):
            self.answers[name] = 0
            return None
        return _read(text)


FORM = "application/x-www-form-urlencoded"


def _body(content: Any, form: Mapping[str, str] | None) -> bytes | None:
    if form is not None:
        return urllib.parse.urlencode(form).encode()
    return None if content is None else json.dumps(content).encode()


def _read(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


class Releases:
    """The two releases at work; `release` is N+1 as MUL_TARGET_RELEASE has it, `undo` ends what was started
    however the run ends.
    """

    def __init__(
        self,
        noted: Noted,
        services: Services,
        account: str,
        log: Path,
        undo: ExitStack,
        release: str = NEXT,
    ) -> None:
        self.noted = noted
        self._release = release
        self._services = services
        self._account = account
        self._log = log
        self._undo = undo
        self._process: subprocess.Popen[bytes] | None = None
        self._base = ""
        self._cells: dict[str, Answers] = {}

    def start_next(self) -> None:
        """Start release N+1 on a port of its own. Does not wait."""
        target = self._services.target
        if target is None:
            raise SetupError("The harness did not start the service, and cannot start another release of it.")
        port = free_port()
        self._base = f"http://127.0.0.1:{port}"
        self._process = target.serve(port, self._log, RELEASE=self._release)
        self._undo.callback(self.end_next)

    def end_next(self) -> None:
        """End release N+1. Idempotent."""
        if self._process is not None:
            end_process(self._process)

    def listens(self) -> bool:
        """Whether release N+1 takes questions; raises SetupError when it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise SetupError(f"Release {NEXT} ended at once: {end_of_log(self._log, 3)}")
        return Services(self._base, None).answers()

    def ask_both(self, schema: str) -> Callable[[], bool]:
        """Ask both releases on a schema, `old` or `new`; what is returned says whether they have answered."""

        def work() -> None:
            self._cells[f"n on {schema}"] = ask(self._services.host, f"{self._account}-n")
            self._cells[f"{NEXT} on {schema}"] = ask(self._base, f"{self._account}-next")

        thread = threading.Thread(target=work, name=f"releases on {schema}", daemon=True)
        thread.start()
        return lambda: not thread.is_alive()

    def end(self, done: bool, why: str = "") -> None:
        """Write down what was answered, and end release N+1."""
        self.noted.end(done, why, cells=dict(self._cells))
        self.end_next()


class _Half:
    """Half of the drill; what cannot be done ends it, and is on record."""

    within_s = ASKED_WITHIN_S

    def __init__(self, releases: Releases) -> None:
        self.ended = False
        self._releases = releases
        self._began: float | None = None
        self._answered: Callable[[], bool] | None = None

    @property
    def doing(self) -> str:
        return "" if self._began is None or self.ended else "asking both releases"

    def begin(self) -> None:
        if self._releases.noted.over:  # the other half could not be done
            self.ended = True
            return
        self._began = monotonic()
        self._guarded(self._begin)

    def step(self) -> None:
        if self.ended or self._began is None:
            return
        self._guarded(self._step)
        if not self.ended and monotonic() - self._began > self.within_s:
            self._fail(f"the releases did not answer within {self.within_s:g} s")

    def abort(self) -> None:
        self.ended = True
        if self._releases.noted.began_at is not None:
            self._releases.end(False, "the run ended before both releases had been asked")

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except HarnessError as error:
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        self.ended = True
        self._releases.end(False, why)

    def _begin(self) -> None:
        raise NotImplementedError

    def _step(self) -> None:
        raise NotImplementedError


class BeforeMigration(_Half):
    """Starts release N+1 and asks both releases on the old schema."""

    within_s = STARTS_WITHIN_S + ASKED_WITHIN_S

    def _begin(self) -> None:
        self._releases.noted.begin()
        self._releases.start_next()

    def _step(self) -> None:
        if self._answered is None:
            if self._releases.listens():
                self._answered = self._releases.ask_both("old")
        elif self._answered():
            self.ended = True


class AfterMigration(_Half):
    """Asks both releases on the new schema, and ends release N+1."""

    def _begin(self) -> None:
        self._answered = self._releases.ask_both("new")

    def _step(self) -> None:
        if self._answered is not None and self._answered():
            self.ended = True
            self._releases.end(True)
