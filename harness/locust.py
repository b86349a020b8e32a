"""What a locustfile imports: `import harness.locust` makes any locustfile a migration test.

It hangs the harness on Locust's events. The verdict becomes the process's exit code in a `quitting` listener
registered at import: Locust ignores one set in `test_stop`, and listeners of that event run in reverse order,
so this one runs last (locust/main.py, `shutdown`; locust/event.py, `fire`).

Every worker imports this module. What makes a run (`harness.composition`, and with it PostgreSQL, Alembic,
judging and reports) is imported where it is known that this process makes one: it is half of all there is.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from locust import events
from locust.env import Environment
from locust.event import EventHook

import harness.load.isolation  # noqa: F401 - it registers what it does
from harness.core.bodies import canary, new_id
from harness.core.plan_file import NO_FILE, PlanFile
from harness.core.stream import Stream
from harness.core.verdict import ExitCode
from harness.errors import CRASHED, HarnessError
from harness.load import hooks, load_shape, web
from harness.load.arguments import add_arguments
from harness.load.auth import Auth, Credentials, LoginError, NoAuth, Registration
from harness.load.cookie_auth import CookieSession, Csrf
from harness.load.master_port import check_master_port
from harness.load.resource import Resource
from harness.load.token_auth import JsonLogin, PasswordGrant, Refresh, Revoke, SignedJwt, StaticToken
from harness.load.totals import Totals
from harness.load.users import MigrationUser
from harness.run.interruption import Interruption
from harness.run.plan_file import find_plan_file, named_plan_file
from harness.run.signing_key import provide_signing_key

if TYPE_CHECKING:
    from harness.composition import Composition

__all__ = [
    "Auth",
    "CookieSession",
    "Credentials",
    "Csrf",
    "JsonLogin",
    "LoginError",
    "MigrationUser",
    "NoAuth",
    "PasswordGrant",
    "Refresh",
    "Registration",
    "Resource",
    "Revoke",
    "SignedJwt",
    "StaticToken",
    "Stream",
    "Totals",
    "canary",
    "new_id",
]

log = logging.getLogger("harness")

_composition: Composition | None = None
_ASKING = frozenset({"-h", "--help", "-V", "--version"})
"""Flags that Locust answers by itself, once it knows every argument."""

_plan_file: PlanFile | None = None
"""What was read at start-up: the settings of a process do not change when the file does."""


@events.init_command_line_parser.add_listener
def _on_parser(parser: Any, **_: Any) -> None:
    """At start-up, and each time the web page is shown: its form then offers the known revisions."""
    global _plan_file
    starting = _plan_file is None
    if _plan_file is None:
        with _refusing(), Interruption().watching():
            provide_signing_key()
            _plan_file = find_plan_file(named_plan_file(sys.argv[1:]))
    add_arguments(parser, _composition.choices if _composition is not None else None, _plan_file)
    if starting and not _ASKING.intersection(sys.argv):
        with _refusing():
            options: Any = parser.parse_known_args(sys.argv[1:])[0]
            check_master_port(options)
        if options.processes:
            hooks.end_children_with_us()


@events.init.add_listener
def _on_init(environment: Environment, web_ui: Any, **_: Any) -> None:
    """Refuse what is wrong, and for a run that starts by itself start what it needs, before any load."""
    global _composition
    interruption = Interruption()
    with _refusing(), interruption.watching():
        load = hooks.install(environment)
        if load is None:
            return
        logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it tells of each of its plugins
        from harness.composition import compose, install_signals

        _composition = compose(environment, _plan_file or NO_FILE, load, _say)
        if environment.shape_class is not None:
            load_shape.hold(environment.shape_class, _composition.end_early)
        if web_ui is not None:
            web.install(environment, _composition.status, _composition.report)
        if _composition.automatic:
            _composition.prepare(partial(interruption.sleep, of=gevent.sleep))
    install_signals(_composition)
    environment.events.quitting.add_listener(_on_quitting_early)
    _have_the_last_word(environment.events.quitting)


def _have_the_last_word(quitting: EventHook) -> None:
    """Have the verdict's exit code win over one that the locustfile sets, wherever it imports this module.

    The event's listeners run in reverse order, so the first one in the list is the last to run.
    """
    quitting.remove_listener(_on_quitting)
    quitting._handlers.insert(0, _on_quitting)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what is refused, or interrupted, before the load into one line and its exit code."""
    try:
        yield
    except HarnessError as error:
        log.debug("refused", exc_info=True)
        _say(str(error))
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _say("interrupted before the load began; everything started was stopped")
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except Exception:
        # Locust logs what a listener raises and goes on: users would wait for a run that never begins.
        log.exception("The run could not be prepared, and the harness does not know why.")
        raise SystemExit(CRASHED) from None


def _say(text: str) -> None:
    sys.stderr.write(f"harness: {text}\n")


@events.test_start.add_listener
def _on_test_start(**_: Any) -> None:
    if _composition is not None:
        _composition.begin_again()


@events.test_stop.add_listener
def _on_test_stop(**_: Any) -> None:
    """Somebody pressed Stop, or the last worker is gone: a run without load has nothing to say."""
    composition = _composition
    if composition is not None and composition.running:
        page = composition.environment.web_ui is not None
        gevent.spawn(composition.stop, "stopped in the web page" if page else "Locust stopped the users")


def _on_quitting_early(**_: Any) -> None:
    """Runs before Locust's master tells its workers to quit: a run that is not over yet is ended in order."""
    if _composition is not None:
        _composition.stop("Locust is quitting")
        _composition.close()


@events.quitting.add_listener
def _on_quitting(environment: Environment, **_: Any) -> None:
    if _composition is not None:
        environment.process_exit_code = _composition.exit_code if _composition.automatic else 0


@events.quit.add_listener
def _on_quit(**_: Any) -> None:
    if _composition is not None and _composition.automatic:
        _composition.show_verdict()
