"""The deploy of the service's next release while users are there: by the person's own command, or of the
reference service instance by instance, as an orchestrator does it that starts the new one first.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.clock import Sleep, monotonic, wait_until
from harness.core.events import Kind
from harness.core.migration_plan import MigrationPlan
from harness.core.secrets import mask
from harness.environ import child_environment
from harness.errors import HarnessError, SetupError
from harness.run.commands import command_words
from harness.run.episode import Note
from harness.run.preparation import Prepared
from harness.run.releases import NEXT
from harness.run.services import REFERENCE_ALEMBIC, Instance, Services, end_of_log, end_process, instance_name
from harness.run.steps import alembic_config

__all__ = ["CommandDeploy", "Deploy", "RollingDeploy", "deploy_of", "next_release"]

STOP_WITHIN_S = 5.0
"""How long a command that is cancelled may take to end."""

LEAVE_WITHIN_S = 15.0
"""How long an instance may take to end when it is asked to: it answers first what it was asked."""

Measure = Callable[[str, int], object]
"""Tells the observer which process bears a name from now on: `measure(name, pid)`."""


class Deploy:
    """What both have in common: `begin()`, `step()` until `ended`, then `abort()` whatever happened."""

    def __init__(self, when: str, how: str, note: Note, deadline_s: float) -> None:
        self.ended = False
        self.status = ""
        self._when = when
        self._how = how
        self._note = note
        self._deadline_s = deadline_s
        self._began: float | None = None

    @property
    def doing(self) -> str:
        """What it does now, in a few words; empty when nothing."""
        return "" if self._began is None or self.ended else self._does()

    def begin(self) -> None:
        """Begin; what cannot be done is on record as failed."""
        self._began = monotonic()
        self._note(Kind.DEPLOY_BEGIN, when=self._when, how=self._how)
        try:
            self._start()
        except HarnessError as error:
            self._fail(error)

    def step(self) -> None:
        """See whether it is over; never waits."""
        if self.ended or self._began is None:
            return
        try:
            if self._is_over():
                self._end("ok")
            elif monotonic() - self._began > self._deadline_s:
                self._stop()
                self._end("deadline", f"It was still going on after its deadline of {self._deadline_s:g} s.")
        except HarnessError as error:
            self._fail(error)

    def abort(self) -> None:
        """Stop it if it still goes on. Idempotent."""
        if self._began is not None and not self.ended:
            self._stop()
            self._end("stopped", "The run ended while it was going on.")

    def _fail(self, error: HarnessError) -> None:
        self._stop()
        self._end("failed", str(error))

    def _end(self, status: str, message: str = "") -> None:
        self.ended, self.status = True, status
        self._note(Kind.DEPLOY_END, status=status, exit_code=self._code(), message=message)

    def _code(self) -> int | None:
        return None

    def _does(self) -> str:
        return "deploy"

    def _start(self) -> None:
        raise NotImplementedError

    def _is_over(self) -> bool:
        """Raises a HarnessError when it failed."""
        raise NotImplementedError

    def _stop(self) -> None:
        """End, in bounded time, what was started and is not yet, or no longer, part of the service."""
        raise NotImplementedError


class CommandDeploy(Deploy):
    """By the person's command. What it starts in the background outlives it, unless it is cancelled."""

    def __init__(
        self, when: str, command: str, log: Path, note: Note, deadline_s: float, sleep: Sleep
    ) -> None:
        super().__init__(when, mask(command), note, deadline_s)
        self._words = command_words(command, "--deploy")
        self._log = log
        self._sleep = sleep
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self) -> None:
        try:
            with self._log.open("wb") as output:
                self._process = subprocess.Popen(
                    self._words,
                    env=child_environment({}),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise SetupError(f"{self._words[0]} cannot be run: {error.strerror}.") from None

    def _is_over(self) -> bool:
        code = self._code()
        if code:
            log = f"{self._log.parent.name}/{self._log.name}"
            raise SetupError(f"Its command ended with exit code {code}; its output is in {log}.")
        return code == 0

    def _code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def _stop(self) -> None:
        process = self._process
        for how in (signal.SIGTERM, signal.SIGKILL):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, how)
                wait_until(lambda: self._code() is not None, STOP_WITHIN_S, self._sleep)


class RollingDeploy(Deploy):
    """Of the reference service: for each instance one of `release` is started, and when that answers, the old
    one is asked to end. There are never fewer than before.
    """

    def __init__(
        self, when: str, release: str, services: Services, note: Note, deadline_s: float, measure: Measure
    ) -> None:
        many = len(services.instances)
        where = f"on {many} instances, one by one" if many > 1 else "on the one instance"
        super().__init__(when, f"release {release} {where}", note, deadline_s)
        self._release = release
        self._services = services
        self._measure = measure
        self._number = 0
        self._next: Instance | None = None
        self._leaving: Instance | None = None
        self._asked_at = 0.0

    def _does(self) -> str:
        return f"deploy of release {self._release}: instance {self._number + 1} of {self._count}"

    @property
    def _count(self) -> int:
        return len(self._services.instances)

    def _start(self) -> None:
        if self._services.target is None:
            raise SetupError("The harness did not start the service, and cannot start another release of it.")
        self._next = self._services.target.instance(RELEASE=self._release)

    def _is_over(self) -> bool:
        if self._leaving is not None:
            self._see_it_leave(self._leaving)
        elif self._next is not None:
            self._see_it_come(self._next)
        return self._number == self._count

    def _see_it_come(self, instance: Instance) -> None:
        code = instance.process.poll()
        if code is not None and self._services.target is not None:
            log = end_of_log(self._services.target.log, 3)
            raise SetupError(f"Instance {self._number + 1} of release {self._release} ended at once: {log}")
        if instance.answers():
            instances = self._services.instances
            self._leaving, instances[self._number] = instances[self._number], instance
            self._next = None
            self._measure(instance_name(self._number), instance.process.pid)
            self._asked_at = monotonic()
            self._leaving.process.terminate()

    def _see_it_leave(self, instance: Instance) -> None:
        if instance.process.poll() is None:
            if monotonic() - self._asked_at > LEAVE_WITHIN_S:
                what = f"The instance {self._number + 1} that was to be replaced did not end"
                raise SetupError(f"{what} within {LEAVE_WITHIN_S:g} s, and was killed.")
            return
        end_process(instance.process)
        self._leaving = None
        self._number += 1
        if self._number < self._count:
            self._start()

    def _stop(self) -> None:
        for instance in (self._next, self._leaving):
            if instance is not None:
                instance.process.kill()
                end_process(instance.process)
        self._next = self._leaving = None


def next_release(step: MigrationPlan | None, of_others: str = "n") -> str:
    """The release of the reference service that belongs to a migration, as MUL_TARGET_RELEASE has it;
    `of_others` where the migration is none of its own: the running one, started anew.
    """
    if step is None or alembic_config(step).resolve() != REFERENCE_ALEMBIC.resolve():
        return of_others
    return "n+1-untagged" if step.upgrade.startswith("hurried") else NEXT


def deploy_of(prepared: Prepared, note: Note, measure: Measure, sleep: Sleep) -> Deploy | None:
    """The deploy of a prepared run, None where its plan has none."""
    plan, services = prepared.plan, prepared.services
    if plan.deploy_when is None:
        return None
    when, within_s = plan.deploy_when, plan.deploy_deadline_s
    if plan.deploy_command is not None:
        log = prepared.directory.log("deploy")
        return CommandDeploy(when, plan.deploy_command, log, note, within_s, sleep)
    steps: Sequence[MigrationPlan | None] = [step.plan for step in prepared.steps] or [None]
    return RollingDeploy(when, next_release(steps[-1]), services, note, within_s, measure)
