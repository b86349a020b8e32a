"""The plan: the whole intended run, every default resolved. `plan_check` refuses what contradicts itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.core.arrivals import CLOSED, OPEN_MODELS, SCHEDULED, PhaseRate, phase_rates
from harness.core.backend import EMBEDDED, NONE, image_of
from harness.core.drills import Drill
from harness.core.drills import parse as parse_drill
from harness.core.migration_plan import MigrationPlan
from harness.core.secrets import MASK, is_secret, mask, password_in

__all__ = ["Plan"]

IN_FLIGHT_S = 10.0
"""How long a stall may last before open arrivals are shed, unless the plan says otherwise."""

IN_FLIGHT_MOST = 5_000
"""No more tasks at once than that, likewise: each has a connection and its memory."""

ENVIRONMENTS = ("environment", "migration_environment")
"""Fields that hold variables of a command, whose values are written nowhere."""


@dataclass(frozen=True)
class Plan:
    """One intended run. Durations are seconds, rates per second; lists are tuples: a plan is a value."""

    # what is driven
    host: str | None = None  # base URL of the service; None: the harness starts the reference service
    database_url: str | None = field(default=None, repr=False)  # None: the harness starts a PostgreSQL
    replica_url: str | None = field(default=None, repr=False)  # a streaming replica of it, to be watched
    alembic_config: str | None = None  # path; None: the reference service's own
    upgrade: str = "head"
    downgrade: str | None = None
    expect_from: str | None = None  # the revision the database must be at before
    placebo: bool = False
    prepare: str | None = None  # a command run before the baseline
    from_dump: str | None = None  # path of a dump to restore before that
    recreate_database: bool = False  # drop the database first, and copy it from a template from then on

    # what the locustfile's users do, and record besides their samples
    ledger: bool = True  # their writes, read back at the end
    totals: bool = False  # sums that must not change
    isolation: bool = True  # whether an account saw another's data
    websocket: bool = True  # what was pushed to them
    authentication: bool = True  # whether their accounts prove themselves to the service
    tokens: bool = False  # whether what proves them is a token, so that forged ones can be tried
    undeclared: tuple[str, ...] = ()  # sentences: what they do not do or record, because nobody declared it
    paced: bool = True  # whether they keep to a target rate
    shape: str | None = None  # the LoadTestShape that moves their number; None: it stays at `users`

    # load
    users: int = 30
    spawn_rate: float = 30.0
    target_rate: float | None = 80.0  # requests per second over all users; None: the locustfile decides
    arrivals: str = SCHEDULED  # what makes users ask, one of `core/arrivals.py`
    phase_rates: tuple[str, ...] = ()  # "PHASE=RATE": phases with a target rate of their own
    max_in_flight: int | None = None  # most tasks at once of open arrivals; None: ten seconds of the rate
    seed: int = 1
    accounts: str | None = None  # path of the file that lists them; None: they are named by number

    # phases
    warmup_s: float = 8.0
    baseline_s: float = 20.0
    recover_s: float = 15.0
    probe_s: float = 10.0  # for trying tokens and logins at the end, at most; 0: they are not tried
    drain_s: float = 10.0  # at most

    # migration
    migration_command: str | None = None  # in place of Alembic's own
    rollback_command: str | None = None
    migration_cwd: str | None = None
    migration_environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    lock_timeout: str | None = None  # as PostgreSQL writes it: 500ms, 2s
    statement_timeout: str | None = None
    migration_retries: int = 0
    migration_deadline_s: float = 1800.0
    migrations: tuple[MigrationPlan, ...] = ()  # several, in order; the fields above are then not used

    # deploy
    deploy_when: str | None = None  # before or after the migration; None: nothing is deployed
    deploy_command: str | None = None  # None: the reference service's instances are replaced one by one
    deploy_deadline_s: float = 600.0

    drills: tuple[str, ...] = ()  # faults that are caused on purpose, as `core/drills.py` reads them

    # judgement
    gates: tuple[str, ...] = ()
    no_gates: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()  # "RULE: reason": advice that is only noted
    invariants: tuple[str, ...] = ()  # "NAME: SELECT …": queries that return no row after the migration
    baseline_run: str | None = None  # run directory that gates with {run=baseline} compare with

    # the demo's services
    rows: int = 200_000
    instances: int = 1  # processes of the reference service, side by side
    services: str = EMBEDDED  # where its PostgreSQL runs: as processes of this machine, or in a container
    postgres_image: str | None = None  # the container's; None: the official one of `postgres_version`
    postgres_version: str | None = None  # a major one; None: the newest
    postgres_dockerfile: str | None = None  # builds the image where it is neither here nor in a registry
    postgres_bin: str | None = None
    cache: str = NONE  # whether a Valkey or a Redis is started for it, where there is one
    keep_database: bool = False
    standby: bool = False  # start a streaming replica beside it

    # safety
    allow_host: tuple[str, ...] = ()
    allow_database: tuple[str, ...] = ()
    allow_untraced_database: tuple[str, ...] = ()  # databases that an untraced command may migrate
    allow_production: bool = False
    allow_drill: tuple[str, ...] = ()  # drills that may break what the harness did not start, by name

    run_root: str = "runs"  # where run directories are made

    @property
    def name(self) -> str:
        """What the run directory is named after: `demo` or `own`, whose service it is; placebos say so."""
        return ("demo" if self.host is None else "own") + ("-placebo" if self.placebo else "")

    @property
    def migrates(self) -> bool:
        """Whether the run has a migration to run."""
        return not self.placebo

    @property
    def steps(self) -> tuple[MigrationPlan, ...]:
        """The migrations of the run, in order; one unless the plan file lists several."""
        return self.migrations or (
            MigrationPlan(
                alembic_config=self.alembic_config,
                command=self.migration_command,
                rollback_command=self.rollback_command,
                cwd=self.migration_cwd,
                environment=self.migration_environment,
                expect_from=self.expect_from,
                upgrade=self.upgrade,
                downgrade=self.downgrade,
                lock_timeout=self.lock_timeout,
                statement_timeout=self.statement_timeout,
                retries=self.migration_retries,
                deadline_s=self.migration_deadline_s,
            ),
        )

    @property
    def several(self) -> bool:
        """Whether the run has more than one migration, each with a name of its own."""
        return len(self.steps) > 1

    def step(self, name: str) -> MigrationPlan:
        """The migration of that name, or the only one; raises KeyError when there is none."""
        return {step.name: step for step in self.steps}[name] if self.several else self.steps[0]

    @property
    def rolls_back(self) -> bool:
        """Whether any of the run's migrations is undone afterwards."""
        return any(step.downgrade for step in self.steps)

    @property
    def may_have_replicas(self) -> bool:
        """Whether a replica may stream from the database; of one's own the harness cannot know."""
        return self.host is not None or self.standby

    @property
    def deploys(self) -> bool:
        """Whether the run deploys the service's next release."""
        return self.deploy_when is not None

    @property
    def rates(self) -> dict[str, PhaseRate]:
        """The phases with a target rate of their own."""
        return phase_rates(self.phase_rates)

    @property
    def in_flight(self) -> int | None:
        """How many tasks there may be at once; None where that is the number of users."""
        if self.arrivals not in OPEN_MODELS:
            return None
        highest = max((self.target_rate or 0.0, *(one.rate for one in self.rates.values())))
        enough = min(math.ceil(IN_FLIGHT_S * highest), IN_FLIGHT_MOST)
        return self.max_in_flight or max(self.users, enough)

    @property
    def service_database_url(self) -> str | None:
        """The run's own database, the service's: unless given, the first that a migration names."""
        return self.database_url or next((s.database_url for s in self.migrations if s.database_url), None)

    @property
    def ignored(self) -> dict[str, str]:
        """The rules whose advice is only noted, each with its reason."""
        parts = (text.partition(":") for text in self.ignore)
        return {rule.strip(): reason.strip() for rule, _, reason in parts}

    @property
    def image(self) -> str:
        """The image of the PostgreSQL container, where there is one."""
        return image_of(self.postgres_image, self.postgres_version)

    @property
    def planned_drills(self) -> tuple[Drill, ...]:
        """The drills of the run, in order; raises UsageError for one that is not known."""
        return tuple(parse_drill(text) for text in self.drills)

    @property
    def secrets(self) -> set[str]:
        """The passwords and other secrets that the run itself was given."""
        urls = (self.database_url, self.replica_url, *(step.database_url for step in self.steps))
        settings = [setting for step in self.steps for setting in step.environment]
        return set().union(*map(password_in, urls)) | {
            value for name, value in settings if is_secret(f"{name}={value}")
        }

    def as_json(self) -> dict[str, Any]:
        """The plan for `plan.json` and for people: every field, with secrets masked."""
        masked: dict[str, Any] = _masked(asdict(self))
        return masked

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan of a `plan.json` (its secrets stay masked); keys of newer versions are ignored."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in data.items()
            if key in known
        }
        values.setdefault("probe_s", 0.0)  # a run of a version that tried no sessions
        values.setdefault("arrivals", SCHEDULED if values.get("paced", True) else CLOSED)
        values["migrations"] = tuple(map(MigrationPlan.from_json, data.get("migrations", ())))
        values["migration_environment"] = tuple(tuple(pair) for pair in data.get("migration_environment", ()))
        return cls(**values)

    def text(self) -> str:
        """The resolved plan as JSON, for `--dry-run`."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False)


def _masked(value: Any) -> Any:
    """The value with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {
            key: _names_alone(inner) if key in ENVIRONMENTS else _masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value


def _names_alone(environment: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """Variables without their values, any of which may be a secret."""
    return [[name, MASK] for name, _ in environment]
