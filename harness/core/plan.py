"""The plan: the whole intended run, every default resolved, checked once before anything is touched."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.core.arrivals import CLOSED, MODELS, OPEN_MODELS, SCHEDULED, PhaseRate, phase_rates
from harness.core.backend import EMBEDDED, NONE, check_backend, image_of
from harness.core.drills import Drill
from harness.core.drills import parse as parse_drill
from harness.core.secrets import MASK, is_secret, mask, password_in
from harness.core.timeouts import check_timeouts
from harness.errors import UsageError

__all__ = ["IMPACT_MINIMUM_S", "IMPACT_TAIL_S", "SLICE_S", "MigrationPlan", "Plan"]

IMPACT_MINIMUM_S = 10.0
"""Shortest impact window: most dangerous statements last milliseconds, their consequences do not."""

IMPACT_TAIL_S = 2.0
"""How long the impact window goes on after the migration's last commit."""

SLICE_S = 5.0
"""Length of a slice of the impact window."""

IN_FLIGHT_S = 10.0
"""How long a stall may last before open arrivals are shed, unless the plan says otherwise."""

IN_FLIGHT_MOST = 5_000
"""No more tasks at once than that, likewise: each has a connection and its memory."""

DEPLOY_WHEN = ("before", "after")
"""When the next release may be deployed: before or after the migration."""

MOST_REPLICAS = 8

ENVIRONMENTS = ("environment", "migration_environment")
"""Fields that hold variables of a command, whose values are written nowhere."""


@dataclass(frozen=True)
class MigrationPlan:
    """One migration of a run: what runs it, on which database, from where to where.

    `name` tells several migrations of one run apart; it is empty where there is only one. A `command` takes
    the place of Alembic's own; `environment` is laid over the harness's for it.
    """

    name: str = ""
    alembic_config: str | None = None  # path; None: the reference service's own
    command: str | None = None
    rollback_command: str | None = None
    cwd: str | None = None
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    database_url: str | None = field(default=None, repr=False)  # None: the run's own database
    expect_from: str | None = None  # the revision the database must be at before
    upgrade: str = "head"
    downgrade: str | None = None
    lock_timeout: str | None = None  # as PostgreSQL writes it: 500ms, 2s
    statement_timeout: str | None = None
    retries: int = 0
    deadline_s: float = 1800.0

    @property
    def scripts_known(self) -> bool:
        """Whether Alembic's scripts can be read: a command alone does not tell where they are."""
        return self.command is None or self.alembic_config is not None

    def check(self) -> None:
        """Raise UsageError for what contradicts itself, naming the flag."""
        if self.command is None:
            self._check_without_command()
            return
        for flag, command in (
            ("--migration-command", self.command),
            ("--rollback-command", self.rollback_command or ""),
        ):
            _refuse_secret_in(flag, command, "give it as a variable: --migration-env NAME")
        if self.downgrade and not self.rollback_command:
            raise UsageError(
                f"--downgrade {self.downgrade} is given, but not the command that rolls back.",
                "Add --rollback-command, or drop --downgrade.",
            )
        if self.rollback_command and not self.downgrade:
            raise UsageError(
                "--rollback-command is given, but not the revision it leads back to.",
                "Add --downgrade REV (base: no revision at all).",
            )
        if not self.scripts_known:
            self._check_targets()

    def _check_without_command(self) -> None:
        given = {
            "--rollback-command": self.rollback_command,
            "--migration-cwd": self.cwd,
            # One of several finds its own database by it; a lone one inherits what the harness has.
            "--migration-env": () if self.name else self.environment,
        }
        for flag, value in given.items():
            if value:
                raise UsageError(f"{flag} is given, but no --migration-command.", "Add it, or drop the flag.")

    def _check_targets(self) -> None:
        for flag, target in (
            ("--upgrade", self.upgrade),
            ("--downgrade", self.downgrade or ""),
            ("--expect-from", self.expect_from or ""),
        ):
            if "@" in target or re.search(r"[+-]\d+$", target):
                raise UsageError(
                    f"{flag} is {target!r}, which only the migration scripts can resolve.",
                    "Give a whole revision id, or add --alembic-config.",
                )


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
    deploy_command: str | None = None  # None: the reference service's replicas are replaced one by one
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
    replicas: int = 1  # processes of the reference service, side by side
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

    def check(self) -> None:
        """Raise UsageError for anything that contradicts itself, naming the flag."""
        _at_least("--users", self.users, 1)
        _at_least("--rows", self.rows, 0)
        for flag, seconds, least in (
            ("--warmup-time", self.warmup_s, 0.0),
            ("--baseline-time", self.baseline_s, 5.0),
            ("--recover-time", self.recover_s, 5.0),
            ("--probe-time", self.probe_s, 0.0),
        ):
            _at_least(flag, seconds, least, " seconds")
        self.check_prepare()
        self._check_rates()
        self._check_arrivals()
        if self.placebo and self.rolls_back:
            raise UsageError(
                "--placebo migrates nothing, yet --downgrade asks for a rollback.", "Drop one of them."
            )
        self._check_migration_names()
        self._check_gate_names()
        self._check_ignored()
        self._check_own_service()
        self._check_deploy()
        check_backend(
            self.services,
            host=self.host,
            image=self.postgres_image,
            version=self.postgres_version,
            dockerfile=self.postgres_dockerfile,
            postgres_bin=self.postgres_bin,
            cache=self.cache,
            standby=self.standby,
        )
        self._check_starting_point()
        self._check_drills()
        for step in self.steps:
            _check_step(step)

    def check_prepare(self) -> None:
        """Raise UsageError for a secret in the command that is run first."""
        _refuse_secret_in("--prepare", self.prepare or "", "export it: the command inherits the environment")

    def _check_deploy(self) -> None:
        command, own = self.deploy_command, self.host is not None
        if self.deploy_when not in (None, *DEPLOY_WHEN):
            known = " or ".join(DEPLOY_WHEN)
            raise UsageError(f"--deploy-when is {self.deploy_when!r}.", f"Give {known} the migration.")
        if command is not None and not own:
            raise UsageError(
                "--deploy is for your own service: the harness deploys the reference service's next release.",
                "Give --deploy-when alone, or add --host.",
            )
        if self.deploys and own and command is None:
            raise UsageError(
                "--deploy-when is given, but not what deploys your service.",
                "Add --deploy CMD, for instance --deploy 'kubectl rollout restart deployment/api'.",
            )
        if own and self.replicas != 1:
            raise UsageError("--replicas is for the reference service, and --host names yours.", "Drop it.")
        _at_least("--replicas", self.replicas, 1)
        if self.replicas > MOST_REPLICAS:
            raise UsageError(f"--replicas is {self.replicas}.", f"It must be at most {MOST_REPLICAS}.")
        _at_least("--deploy-deadline", self.deploy_deadline_s, 1.0, " seconds")
        _refuse_secret_in("--deploy", command or "", "export it: the command inherits the environment")
        if self.deploys and "old-code-new-schema" in {drill.name for drill in self.planned_drills}:
            raise UsageError(
                "--drill old-code-new-schema compares the release that runs with the next one, which"
                " --deploy-when puts in its place.",
                "Give each a run of its own.",
            )

    def _check_starting_point(self) -> None:
        given = [
            flag
            for flag, value in (
                ("--from-dump", self.from_dump),
                ("--recreate-database", self.recreate_database),
            )
            if value
        ]
        if given and self.host is None:
            raise UsageError(
                f"{given[0]} is for your own database: the reference service's is made anew for every run.",
                "Add --host and MUL_DATABASE_URL, or drop it.",
            )
        if given and self.database_url is None:
            raise UsageError(
                f"{given[0]} is given, but no database.",
                "Set MUL_DATABASE_URL, for instance postgresql://user:password@127.0.0.1/shop.",
            )
        if self.recreate_database and not (self.from_dump or self.prepare):
            raise UsageError(
                "--recreate-database would drop the database, and nothing says what it is made from.",
                "Add --from-dump FILE, made with pg_dump, or --prepare CMD.",
            )

    def _check_drills(self) -> None:
        names = [drill.name for drill in self.planned_drills]
        for drill in self.planned_drills:
            if drill.known.family == "migration" and (self.placebo or self.several):
                why = "a placebo has none" if self.placebo else "this run has several"
                raise UsageError(f"--drill {drill.text} is a drill on the one migration: {why}.", "Drop it.")
            if names.count(drill.name) > 1 and drill.known.family == "migration":
                raise UsageError(f"--drill {drill.name} is given twice.", "Give each run one of them.")
        if "rollback" in names and not self.rolls_back:
            raise UsageError("--drill rollback is given, but not where to.", "Add --downgrade REV.")
        disturbed = [d.text for d in self.planned_drills if d.replaces_migration]
        if len(disturbed) > 1:
            raise UsageError(
                f"--drill {' and --drill '.join(disturbed)} are of one migration.",
                "Give each a run of its own.",
            )

    def _check_rates(self) -> None:
        for flag, rate in (("--target-rate", self.target_rate), ("--spawn-rate", self.spawn_rate)):
            if rate is not None and not (math.isfinite(rate) and rate > 0):
                raise UsageError(f"{flag} is {rate:g}.", "Give a rate above 0 per second.")
        spawning_s = self.users / self.spawn_rate
        if self.shape is None and spawning_s > max(self.warmup_s, 1.0):
            raise UsageError(
                f"{self.users} users at --spawn-rate {self.spawn_rate:g} take {spawning_s:.0f} s to spawn, "
                f"longer than --warmup-time {self.warmup_s:g}s: the baseline would measure the ramp-up.",
                "Raise one of them.",
            )

    def _check_arrivals(self) -> None:
        if self.arrivals not in MODELS:
            raise UsageError(f"--arrivals is {self.arrivals!r}.", f"Give one of: {', '.join(MODELS)}.")
        is_open, rates = self.arrivals in OPEN_MODELS, self.rates
        if self.max_in_flight is not None and not is_open:
            raise UsageError(
                f"--max-in-flight is given, but with --arrivals {self.arrivals} each user has one task at a"
                " time.",
                "Add --arrivals open, or drop it.",
            )
        if self.max_in_flight is not None:
            _at_least("--max-in-flight", self.max_in_flight, self.users)
        what = f"--arrivals {self.arrivals}" if is_open else "--phase-rate" if rates else ""
        if what and self.target_rate is None:
            raise UsageError(f"{what} is given, but no target rate.", "Add --target-rate.")
        if what and self.shape is not None:
            raise UsageError(f"{what} is given, but {self.shape} moves the load.", "Drop one of them.")
        if rates and self.arrivals == CLOSED:
            raise UsageError(
                "--phase-rate is given, but a closed loop keeps to no rate.", "Drop one of them."
            )

    def _check_migration_names(self) -> None:
        """Names tell several migrations apart, in reports and as folders of the run directory."""
        names = [step.name for step in self.migrations]
        for number, name in enumerate(names, 1):
            if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,39}", name) and (name or len(names) > 1):
                said = f"is called {name!r}" if name else "has no name"
                raise UsageError(
                    f"Migration {number} of {len(names)} {said}.",
                    "Give each a name of at most 40 letters, digits, dots, dashes and underscores.",
                )
            if names.count(name) > 1:
                raise UsageError(f"Two migrations are called {name!r}.", "Give them different names.")

    def _check_gate_names(self) -> None:
        both = sorted(set(self.no_gates) & set(self.required))
        if both:
            raise UsageError(f"Gate {both[0]!r} is both in --no-gate and in --require.", "Drop one of them.")

    def _check_ignored(self) -> None:
        for text in self.ignore:
            rule, _, reason = (part.strip() for part in text.partition(":"))
            if not rule or not reason:
                raise UsageError(
                    f"--ignore {text!r} gives no {'reason' if rule else 'rule'}.",
                    "Write --ignore 'RULE: reason', for instance"
                    f" --ignore '{rule or 'RULE'}: the table has ten rows'.",
                )

    def _check_own_service(self) -> None:
        if self.host is None:
            if self.database_url:
                raise UsageError(
                    "A database is given, but no service on it: the reference service brings its own.",
                    "Add --host, or leave out MUL_DATABASE_URL and --database-url.",
                )
            if self.replica_url:
                raise UsageError(
                    "A replica is given, but no service: the reference service brings its own database.",
                    "Add --standby for one beside that, or --host.",
                )
            return
        if self.standby:
            raise UsageError(
                "--standby is for the database that the harness starts.",
                "Set MUL_REPLICA_URL to the URL of yours.",
            )
        if self.replica_url and not self.service_database_url:
            raise UsageError(
                "A replica is given, but not the database that it follows.", "Set MUL_DATABASE_URL."
            )
        if self.keep_database:
            raise UsageError(
                "--keep-database is for the database that the harness starts.",
                "Drop the flag: your own stays as the run leaves it, until a next one re-creates it.",
            )
        if self.migrates and not all(step.alembic_config or step.command for step in self.steps):
            raise UsageError(
                f"--host {self.host} is given, but not where its migrations are.",
                "Add --alembic-config path/to/alembic.ini, --migration-command CMD, or --placebo to run"
                " without a migration.",
            )
        if self.migrates and not all(step.database_url or self.database_url for step in self.steps):
            raise UsageError(
                f"--host {self.host} is given, but not its database.",
                "Set MUL_DATABASE_URL, for instance postgresql://user:password@127.0.0.1/shop: the migration"
                " is held to that database. Without one there is only --placebo.",
            )

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
        values["migrations"] = tuple(_migration_from(one) for one in data.get("migrations", ()))
        values["migration_environment"] = _pairs(data.get("migration_environment", ()))
        return cls(**values)

    def text(self) -> str:
        """The resolved plan as JSON, for `--dry-run`."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False)


def _refuse_secret_in(flag: str, command: str, remedy: str) -> None:
    """A command's words are its process's arguments."""
    if is_secret(command):
        raise UsageError(
            f"{flag} holds a secret, which every user of its machine can read while it runs.",
            f"Take it out, and {remedy}.",
        )


def _check_step(step: MigrationPlan) -> None:
    """Check one migration; what is wrong with one of several is told with its name."""
    try:
        _at_least("--migration-retries", step.retries, 0)
        _at_least("--migration-deadline", step.deadline_s, 1.0, " seconds")
        check_timeouts(step.lock_timeout, step.statement_timeout, step.deadline_s)
        step.check()
    except UsageError as error:
        if not step.name:
            raise
        raise UsageError(f"Migration {step.name}: {error.message}", error.remedy) from None


def _migration_from(data: Mapping[str, Any]) -> MigrationPlan:
    known = {f.name for f in fields(MigrationPlan)}
    values = {key: value for key, value in data.items() if key in known}
    values["environment"] = _pairs(data.get("environment", ()))
    return MigrationPlan(**values)


def _pairs(environment: Iterable[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in environment)


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


def _at_least(flag: str, value: float, least: float, unit: str = "") -> None:
    if value < least:
        raise UsageError(f"{flag} is {value:g}{unit}.", f"It must be at least {least:g}{unit}.")
