"""The controller: walks the phases, runs the migrations in their middle, and ends in bounded time.

It decides nothing about the verdict. It writes what happens, as it happens, into the run directory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol

from harness.clock import Sleep, monotonic
from harness.core.arrivals import CLOSED, LOADED, PhaseRate
from harness.core.events import Event, Kind
from harness.core.plan import Plan
from harness.core.record import FinalRead
from harness.core.timeline import IMPACT_MINIMUM_S, IMPACT_TAIL_S, WALK
from harness.run.deploy import Deploy
from harness.run.drilling import Drilling
from harness.run.drills import DrillRun
from harness.run.episode import EpisodeRun
from harness.run.progress import Progress, planned_s
from harness.run.services import Services
from harness.store import RunDirectory

__all__ = ["Controller", "Load", "Stopped"]

TICK_S = 0.05
LEAST_S = 0.001
"""The shortest sleep: a shorter one need not move a clock that counts in binary fractions."""

READ_BACK_WITHIN_S = 60.0
FINISH_WITHIN_S = 10.0
PROBES_LEFT_S = 10.0
"""How long the probes may go on after the time in which they are begun."""
ISOLATION_PER_S = 8.0
"""Requests a second that probe records and tokens beside the baseline: few, as gates compare with it."""
ISOLATION_AT_THE_END_PER_S = 25.0
ISOLATION_WITHIN_S = 15.0
"""How long they may take at the end, when nothing is compared any more."""
INTERRUPTED_DRAIN_S = 1.0

_WENT_WELL = {"ok", "nothing"}
"""Ends of a migration after which another may follow."""


Complete = Callable[[FinalRead], FinalRead]
"""Adds to a final read what only the master can know, such as what the database holds."""


class Load(Protocol):
    """What the controller asks of the load (`harness/load`); every call is bounded by its `within_s`."""

    def users(self) -> int:
        """How many users live now, on all workers."""

    def live(self) -> Any:
        """Numbers of the last second: `rate`, `p95_s`, `errors`."""

    def probe(self, seconds: float, before_at: float, within_s: float) -> Callable[[], bool]:
        """Begin to try tokens and logins, for `seconds`; what is returned says whether that is over."""

    def isolate(self, per_second: float, within_s: float, own_accounts: bool) -> Callable[[], bool]:
        """Begin to set accounts on each other's records, and to try what is no token, by so many requests per
        second; what is returned says whether that is over. `own_accounts` may then be logged in for again.
        """

    def pace(self, rate: float, over_s: float) -> None:
        """Have the target rate of all users go to `rate` within `over_s` seconds."""

    def drop_websockets(self) -> Callable[[], int | None]:
        """Drop all WebSockets' connections; what is returned says how many, None until that is known."""

    def drain(self, within_s: float) -> bool:
        """Let no user begin new work; wait for what is in flight. Whether all of it ended."""

    def read_back(self, within_s: float, complete: Complete) -> None:
        """Have every account's records read back through the service, and complete each read."""

    def finish(self, within_s: float) -> tuple[str, ...]:
        """Collect the workers' last data; the workers that did not deliver it."""


class Stopped(Exception):  # noqa: N818 - an order, not a fault
    """The run is to end before its plan does; the text is the cause that `events.ndjson` records."""


class Controller:
    """One run. `run()` returns when everything is recorded; it never raises for what the run meets.

    `look` is asked at every step what the database is seen to do, in a few words or none. `entered` is called
    when `launch`, `rollback_launch` and, in a run that was not stopped, `final_read` have begun, before
    anything else is done in them, and with `migrated` when the migrations of a phase have ended.
    """

    def __init__(
        self,
        plan: Plan,
        directory: RunDirectory,
        load: Load,
        services: Services,
        *,
        zero: float,
        sleep: Sleep,
        progress: Callable[[Progress], None],
        complete: Complete = lambda read: read,
        look: Callable[[], str] = lambda: "",
        entered: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._directory = directory
        self._load = load
        self._services = services
        self._zero = zero
        self._sleep = sleep
        self._progress = progress
        self._complete = complete
        self._look = look
        self._entered = entered
        self._seen = ""
        self._stop_cause: str | None = None
        self._phase = ""
        self._rate = 0.0
        self._began_at: float | None = None
        self._next_progress = 0.0
        self._doing = ""
        self._drilling = Drilling()
        self._deploy: Deploy | None = None

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return monotonic() - self._zero

    def stop(self, cause: str) -> None:
        """Order the run to end early; it still records and reads back what it can. The first cause counts."""
        self._stop_cause = self._stop_cause or cause

    def run(
        self,
        episodes: Sequence[EpisodeRun],
        afterwards: DrillRun | None = None,
        drilling: Drilling | None = None,
        deploy: Deploy | None = None,
    ) -> None:
        """Walk the phases, then end: drain, read back, collect, and write how it stopped.

        A drill `afterwards` has service and database for itself: the load is over by then. `deploy` comes
        before or after the upgrade, as the plan has it.
        """
        self._drilling = drilling or self._drilling
        self._deploy = deploy
        try:
            self._walk(episodes)
            if afterwards is None:
                self._end("completed")
                return
            self._end_load(interrupted=False)
            self._enter(WALK)
            self._drive(afterwards)
            self._stopped("completed")
        except Stopped as order:
            if self._phase == WALK:
                self._stopped(str(order))
            else:
                self._end(str(order))

    def note(self, kind: str, at: float | None = None, **data: Any) -> float:
        """Write an event, now unless `at` says when; returns its instant."""
        at = self.now if at is None else at
        self._directory.append_event(Event(at, kind, data))
        return at

    def _walk(self, episodes: Sequence[EpisodeRun]) -> None:
        try:
            self._walk_phases(episodes)
        finally:
            self._drilling.abort()

    def _walk_phases(self, episodes: Sequence[EpisodeRun]) -> None:
        self._enter("warmup")
        self._rest(self._plan.warmup_s)
        self._enter("baseline")
        if self._probes:
            self._load.isolate(ISOLATION_PER_S, self._plan.baseline_s, own_accounts=False)
        self._rest(self._plan.baseline_s)
        if self._deployed("before"):
            self._migrate_all(episodes)
        self._drilling.look()
        self._probe()
        self._drill()

    def _migrate_all(self, episodes: Sequence[EpisodeRun]) -> None:
        """The upgrades, then the rollbacks; none after one that failed, nor after a deploy that did."""
        for direction, group in groupby(episodes, key=lambda episode: episode.direction):
            back, own = direction == "downgrade", list(group)
            if self._began_at is None:
                self._began_at = self.now
            launch = "rollback_launch" if back else "launch"
            self._enter(launch)
            self._entered(launch)
            if not back:
                self._prepare_drills()
            self._migrate(own, "rollback" if back else "migrate")
            self._enter("rollback_recover" if back else "recover")
            self._rest(self._plan.recover_s)
            ends = {episode.status for episode in own}
            if "ok" not in ends or ends - _WENT_WELL or not (back or self._deployed("after")):
                break

    def _deployed(self, when: str) -> bool:
        """Deploy, if that is to be done now, and stay in its phases; whether what follows may go on."""
        deploy = self._deploy
        if deploy is None or self._plan.deploy_when != when:
            return True
        self._enter("deploy")
        until = self.now + IMPACT_MINIMUM_S
        self._drive(deploy)
        self._rest(max(until, self.now + IMPACT_TAIL_S) - self.now)
        self._enter("deploy_recover")
        self._rest(self._plan.recover_s)
        return deploy.status == "ok"

    def _prepare_drills(self) -> None:
        self._drilling.prepare()
        while self._drilling.keeps_waiting:
            self._tick()

    def _drill(self) -> None:
        """Cause the faults that have phases of their own, one by one, when the migration is judged."""
        for one in self._drilling.after:
            self._enter("drill")
            self._drilling.begin(one)
            while not one.run.ended:
                self._tick()
            if one.look is not None:
                self._enter("drill_recover")
                self._rest(self._plan.recover_s)
                one.look()

    @property
    def _probes(self) -> bool:
        """Whether sessions, records and tokens are tried: where nobody proves who they are, nothing is."""
        return self._plan.authentication and self._plan.probe_s > 0

    def _drive(self, drill: DrillRun | Deploy) -> None:
        """Do it to its end."""
        try:
            drill.begin()
            while not drill.ended:
                self._tick()
                drill.step()
                self._doing = drill.doing
        finally:
            drill.abort()
            self._doing = ""

    def _probe(self) -> None:
        """Try what was valid before the migration began, fresh logins, and what must not be valid, after all
        that is judged. One after the other: together they would log in faster than either may.
        """
        plan = self._plan
        if not self._probes or self._began_at is None:
            return
        self._enter("probe")
        within_s = plan.probe_s + PROBES_LEFT_S
        self._until(self._load.probe(plan.probe_s, self._began_at, within_s), within_s)
        over = self._load.isolate(ISOLATION_AT_THE_END_PER_S, ISOLATION_WITHIN_S, own_accounts=True)
        self._until(over, ISOLATION_WITHIN_S)

    def _until(self, over: Callable[[], bool], within_s: float) -> None:
        until = self.now + within_s
        while not over() and self.now < until:
            self._tick()

    def _migrate(self, episodes: Sequence[EpisodeRun], phase: str) -> None:
        """Run the migrations of a phase, each to its end and none after one that failed, and stay in the
        phase until its impact window closes.
        """
        until = 0.0
        try:
            for episode in episodes:
                first_at = self._run_to_its_end(episode, phase if not until else None)
                if first_at is not None:
                    until = max(until or first_at + IMPACT_MINIMUM_S, episode.impact_until)
                if episode.status not in _WENT_WELL:
                    break
            self._entered("migrated")
            self._rest(until - self.now)
        finally:
            self._doing = ""

    def _run_to_its_end(self, episode: EpisodeRun, phase: str | None) -> float | None:
        """Run one migration; its first statement, which is returned, begins the phase, if one is given."""
        entered = phase is None
        try:
            episode.begin()
            while not (episode.ended and (entered or episode.first_statement_at is None)):
                self._tick()
                episode.step()
                if phase is not None and not entered and episode.first_statement_at is not None:
                    entered = True
                    self._enter(phase, episode.first_statement_at)
                self._doing = episode.doing
        finally:
            episode.abort()
        return episode.first_statement_at

    def _enter(self, phase: str, at: float | None = None) -> None:
        self._phase = phase
        at = self.note(Kind.PHASE, at, name=phase)
        self._pace(phase)
        if phase == "migrate":
            self._drilling.first_statement(at)

    def _pace(self, phase: str) -> None:
        """Have the users ask at the phase's own rate, or else at the plan's."""
        plan = self._plan
        if plan.target_rate is None or plan.arrivals == CLOSED or phase not in LOADED:
            return
        wanted = plan.rates.get(phase, PhaseRate(plan.target_rate))
        if wanted.rate != self._rate:
            self._load.pace(wanted.rate, wanted.over_s)
            self._rate = wanted.rate

    def _rest(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self._tick(min(TICK_S, max(LEAST_S, until - self.now)))

    def _tick(self, seconds: float = TICK_S) -> None:
        """Sleep a little, then see whether the run must end, and say once a second how it goes."""
        self._sleep(seconds)
        if self._stop_cause:
            raise Stopped(self._stop_cause)
        if died := self._services.died():
            raise Stopped(died)
        self._drilling.step(self.now)
        self._seen = self._look()
        if self.now >= self._next_progress:
            self._next_progress = self.now + 1.0
            self._progress(self.snapshot())

    def snapshot(self) -> Progress:
        """How the run goes now."""
        live = self._load.live()
        return Progress(
            self._phase,
            self.now,
            max(planned_s(self._plan), self.now),
            self._load.users(),
            live.rate,
            live.p95_s,
            live.errors,
            ", ".join(filter(None, (self._seen, self._doing, self._drilling.doing))),
        )

    def _end(self, cause: str) -> None:
        """Bounded: each step has a deadline, and a run that was stopped keeps them short."""
        interrupted = cause != "completed"
        self.note(Kind.STOP, cause=cause)
        self._end_load(interrupted)
        self.note(Kind.RUN_END, complete=not interrupted)

    def _stopped(self, cause: str) -> None:
        """Write how a run stopped whose load had ended before."""
        self.note(Kind.STOP, cause=cause)
        self.note(Kind.RUN_END, complete=cause == "completed")

    def _end_load(self, interrupted: bool) -> None:
        self._enter("drain")
        self._load.drain(INTERRUPTED_DRAIN_S if interrupted else self._plan.drain_s)
        self._enter("final_read")
        if not interrupted:
            self._entered("final_read")
        if self._services.died() is None:
            within_s = FINISH_WITHIN_S if interrupted else READ_BACK_WITHIN_S
            self._load.read_back(within_s, self._complete)
        self._load.finish(FINISH_WITHIN_S)
