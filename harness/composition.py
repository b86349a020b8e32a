"""The run in the process that makes it: Locust's master, or its only process. Workers import none of this.

A run is prepared, started, stopped and shown here, as Locust's events in `harness.locust` ask.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
import locust.stats
from locust.env import Environment
from locust.runners import LocalRunner

from harness.clock import Sleep
from harness.core.arrivals import CLOSED, OPEN_MODELS
from harness.core.plan import Plan
from harness.core.plan_file import PlanFile
from harness.core.verdict import ExitCode
from harness.errors import CRASHED, HarnessError, SetupError, UsageError
from harness.load.accounts import check_accounts
from harness.load.arrivals import check_workers
from harness.load.auth import NoAuth
from harness.load.collector import LoadControl
from harness.load.continuity import try_out
from harness.load.descriptors import check_descriptors, needed
from harness.load.host import service_of
from harness.load.messages import RunSettings
from harness.load.options import plan_from, plan_of_form, strip_secrets
from harness.load.users import MigrationUser
from harness.report import terminal
from harness.run.preparation import Prepared, check, prepare, upgrade_choices
from harness.run.progress import Progress
from harness.run.services import free_port
from harness.run.session import Finished, Session

__all__ = ["Composition", "compose", "install_signals"]

log = logging.getLogger("harness")

END_WITHIN_S = 90.0
"""How long an interrupted run may take to stop its children and judge; every step has its own deadline."""


class Composition:
    """The run in this process, which is Locust's master or its only process."""

    def __init__(
        self, environment: Environment, plan: Plan, load: LoadControl, say: Callable[[str], None]
    ) -> None:
        self.environment = environment
        self.say = say
        self.options: Any = environment.parsed_options
        self.plan = plan
        self.load = load
        self.choices = upgrade_choices(plan)
        # One address for every run of this process, so that the web page may show it before the first.
        self.port = None if plan.host else free_port()
        if plan.host is None or not plan.host.startswith("tcp:"):  # such users know their own host
            environment.host = plan.host or f"http://127.0.0.1:{self.port}"
        self.prepared: Prepared | None = None
        self.session: Session | None = None
        self.finished: Finished | None = None
        self.refused: HarnessError | None = None
        self.greenlet: gevent.Greenlet | None = None
        self.progress: Progress | None = None
        self.interrupted = False
        self._shown = False
        atexit.register(self.close)

    def close(self) -> None:
        """Stop what was started, however the process ends. Idempotent."""
        for prepared in (self.prepared, self.session.prepared if self.session else None):
            if prepared is not None:
                prepared.close()

    @property
    def automatic(self) -> bool:
        """Whether the run starts by itself, without the web page's Start."""
        return bool(self.options.headless or self.options.autostart)

    def prepare(self, sleep: Sleep = gevent.sleep) -> None:
        """Start what the run needs, before any user is spawned; raises HarnessError."""
        self.prepared = prepare(self.plan, self.say, sleep, self.port)
        users = [user for user in _ours(self.environment) if not isinstance(user.auth, NoAuth)]
        try:
            for odd in try_out(self.plan, users, str(self.environment.host)):
                self.say(odd)
        except (HarnessError, KeyboardInterrupt):
            self.close()
            raise

    def start(self) -> None:
        """Begin the run: the workers record, the controller walks its phases in a greenlet of its own."""
        if self.prepared is None:
            raise RuntimeError("the run was not prepared")
        self._shown = False
        accounts = check_accounts(self.plan, _ours(self.environment), self.load.workers)
        check_workers(self.plan, self.load.workers)
        # Arrivals that all workers share begin at one instant, and so do ramps.
        told = self.plan.arrivals in OPEN_MODELS or self.plan.phase_rates
        self.session = Session(self.prepared, self.load, gevent.sleep, self._show)
        settings = RunSettings(
            run_id=self.prepared.directory.run_id,
            canary=self.prepared.directory.run_id,
            seed=self.plan.seed,
            users=self.plan.users,
            target_rate=0.0 if told else self.plan.target_rate,
            worker_index=0,
            worker_count=1,
            accounts=accounts,
            accounts_file=self.plan.accounts,
            arrivals=self.plan.arrivals,
            max_in_flight=self.plan.in_flight,
            rate_changes=bool(self.plan.phase_rates),
        )
        self.load.begin(self.prepared.directory, settings, self.session.zero)
        self.prepared = None
        self.greenlet = gevent.spawn(self._run, self.session)

    def begin_again(self) -> None:
        """End a run that goes on, and start the prepared one, else one of what the page's form says.

        What is wrong is said, and ends the test that Locust is about to start.
        """
        self.stop("started again")
        self.refused = self.finished = None
        try:
            if self.prepared is None:
                plan = plan_of_form(self.plan, self.options, self.choices)
                self.plan = _with_recorded(plan, self.environment)
                self.prepare()
            self.start()
        except HarnessError as error:
            self._give_up(error)
        except Exception as error:  # Locust would log it and spawn users for a run that never begins
            log.exception("The run could not begin.")
            self._give_up(SetupError(f"The run could not begin: {type(error).__name__}."))

    def stop(self, cause: str) -> None:
        """Have a running run end early, and wait until it is judged."""
        if self.session is not None and self.greenlet is not None:
            self.session.stop(cause)
            self.greenlet.join(END_WITHIN_S)

    def end_early(self, cause: str) -> None:
        """Order a running run to end early, without waiting for it."""
        if self.session is not None and self.running:
            self.session.stop(cause)

    @property
    def running(self) -> bool:
        """Whether a run is walking its phases or being judged."""
        return self.greenlet is not None and not self.greenlet.dead

    @property
    def exit_code(self) -> int:
        """The verdict's; without one, 130 after a signal, else 1: the harness itself failed."""
        if self.refused is not None:
            return self.refused.exit_code
        if self.finished is not None:
            return self.finished.exit_code
        return ExitCode.INTERRUPTED if self.interrupted else CRASHED

    def status(self) -> dict[str, object]:
        """What the web page shows."""
        shown: dict[str, object] = {}
        if self.progress:
            shown.update(terminal.progress_rows(**asdict(self.progress)))
        shown["verdict"] = self.finished.verdict.status if self.finished else None
        shown["error"] = str(self.refused) if self.refused else None
        return shown

    def report(self) -> Path | None:
        """The report of the last judged run."""
        return self.finished.directory / "report.html" if self.finished else None

    def _run(self, session: Session) -> None:
        try:
            self.finished = session.run()
        finally:
            self.progress = None
            gevent.spawn(self._leave)

    def _leave(self) -> None:
        """End Locust's own part: the process when the run started by itself, else only the test."""
        runner = self.environment.runner
        if runner is None:
            return
        if not self.automatic:
            self.show_verdict()
            runner.stop()
        elif self.environment.web_ui is None or self.options.autoquit != -1:
            runner.quit()
            if self.environment.web_ui is not None:
                self.environment.web_ui.stop()

    def _give_up(self, error: HarnessError) -> None:
        self.refused = error
        self.say(str(error))
        self.close()
        runner = self.environment.runner
        if runner is not None:
            gevent.spawn_later(0.1, runner.quit if self.automatic else runner.stop)

    def _show(self, progress: Progress) -> None:
        self.progress = progress
        sys.stderr.write(terminal.progress_line(**asdict(progress)) + "\n")

    def show_verdict(self) -> None:
        """Print the verdict to standard output, once a run: Locust's `quit` event may come twice."""
        if self.finished is not None and not self._shown:
            self._shown = True
            report = _shown(self.finished.directory / "report.html")
            terminal.render(self.finished.view, terminal.console(), report)


def compose(
    environment: Environment, file: PlanFile, load: LoadControl, say: Callable[[str], None]
) -> Composition:
    """What the flags and the plan file ask for; raises HarnessError for what is wrong.

    With `--dry-run` it prints the plan, and ends the process.
    """
    options: Any = environment.parsed_options
    plan = _checked_plan(environment, file)
    strip_secrets(options)
    if isinstance(environment.runner, LocalRunner):  # else the workers check, each its own
        check_descriptors(needed(plan.users, plan.in_flight, plan.websocket))
    if options.dry_run:
        sys.stdout.write(plan.text() + "\n")
        raise SystemExit(0)
    if not options.print_stats:
        _silence_locusts_tables()
    return Composition(environment, plan, load, say)


def _checked_plan(environment: Environment, file: PlanFile) -> Plan:
    """The plan of the flags and the plan file; what is wrong with it is said in the file's words."""
    options: Any = environment.parsed_options
    shape = type(environment.shape_class).__name__ if environment.shape_class else None
    try:
        options.host = service_of(environment.user_classes, options.host)
        plan = _with_recorded(plan_from(options, sys.argv[1:], file, shape=shape), environment)
        check(plan)
    except HarnessError as error:
        raise file.in_its_words(error, vars(options)) from error
    return plan


def _with_recorded(plan: Plan, environment: Environment) -> Plan:
    """The plan, saying what its users record besides samples: plain Locust users keep no ledger."""
    ours = _ours(environment)
    check_accounts(plan, ours)
    declared = [(user.__name__, one) for user in ours for one in user.resources().values()]
    totals = [(user.__name__, one) for user in ours for one in user.declared_totals().values()]
    for name, resource in declared:
        resource.check(name)
    for user in ours:
        if user.stream is not None:
            user.stream.check(user.__name__)
    for name, total in totals:
        total.check(name)
    own_pace = [user.__name__ for user in ours if user.wait_time is not MigrationUser.wait_time]
    paced = bool(ours) and not own_pace
    if not paced and (plan.arrivals in OPEN_MODELS or plan.phase_rates):
        who = f"{own_pace[0]} has a wait_time of its own" if ours else "no class is a MigrationUser"
        raise UsageError(
            f"The users of the locustfile set their own pace: {who}.",
            "Mend that, or drop --arrivals and --phase-rate.",
        )
    return replace(
        plan,
        ledger=any(resource.writes for _, resource in declared),
        totals=bool(totals),
        isolation=any(resource.private for _, resource in declared),
        websocket=any(user.stream for user in ours),
        authentication=any(not isinstance(user.auth, NoAuth) for user in ours),
        tokens=any(user.auth.bears_token for user in ours),
        undeclared=tuple(f"{name}.{one.name} {limit}." for name, one in declared for limit in one.limits),
        paced=paced,
        arrivals=plan.arrivals if paced else CLOSED,
        # A load shape that moves the users moves the rate with them.
        target_rate=plan.target_rate if paced and plan.shape is None else None,
    )


def _ours(environment: Environment) -> list[type[MigrationUser]]:
    return [user for user in environment.user_classes if issubclass(user, MigrationUser)]


def _shown(path: Path) -> str:
    """A path as a person would type it: relative to the working folder where it lies below it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _silence_locusts_tables() -> None:
    """Locust's tables round percentiles to two digits, unlike the verdict's; `--print-stats` keeps them."""
    for name in ("print_stats", "print_percentile_stats", "print_error_report"):
        setattr(locust.stats, name, lambda *_, **__: None)


def install_signals(composition: Composition) -> None:
    """Ctrl-C and SIGTERM end the run in order; with no run going on, they end Locust as Ctrl-C does.

    What comes after that is let pass: what was started is being stopped, and every step of it has its limit.
    """
    leaving = False

    def interrupted(number: int) -> None:
        nonlocal leaving
        if leaving:
            return
        name = signal.Signals(number).name
        composition.interrupted = True
        if composition.running:
            composition.say(f"{name}: ending the run; what was recorded is judged")
            composition.stop(name)
            if composition.automatic and composition.environment.web_ui is None:
                return  # the end of the run ends Locust
        leaving = True
        gevent.get_hub().handle_system_error(KeyboardInterrupt, None)

    _say_interruptions(composition.say)
    gevent.signal_handler(signal.SIGINT, interrupted, signal.SIGINT)
    gevent.signal_handler(signal.SIGTERM, interrupted, signal.SIGTERM)


def _say_interruptions(say: Callable[[str], None]) -> None:
    """Ctrl-C while Locust waits for its workers is no fault that needs a traceback."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            say("interrupted")
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook
