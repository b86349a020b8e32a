"""What is refused of a plan before anything is touched: flags that contradict one another, or that are out of
bounds.
"""

from __future__ import annotations

import math
import re

from harness.core.arrivals import CLOSED, MODELS, OPEN_MODELS
from harness.core.backend import check_backend
from harness.core.plan import Plan
from harness.core.refusals import refuse_below, refuse_secret_in
from harness.errors import UsageError

__all__ = ["check_plan", "check_prepare"]

DEPLOY_WHEN = ("before", "after")
"""When the next release may be deployed: before or after the migration."""

MOST_INSTANCES = 8


def check_plan(plan: Plan) -> None:
    """Raise UsageError for anything that contradicts itself, naming the flag."""
    refuse_below("--users", plan.users, 1)
    refuse_below("--rows", plan.rows, 0)
    for flag, seconds, least in (
        ("--warmup-time", plan.warmup_s, 0.0),
        ("--baseline-time", plan.baseline_s, 5.0),
        ("--recover-time", plan.recover_s, 5.0),
        ("--probe-time", plan.probe_s, 0.0),
    ):
        refuse_below(flag, seconds, least, " seconds")
    check_prepare(plan)
    _check_rates(plan)
    _check_arrivals(plan)
    if plan.placebo and plan.rolls_back:
        raise UsageError(
            "--placebo migrates nothing, yet --downgrade asks for a rollback.", "Drop one of them."
        )
    _check_migration_names(plan)
    _check_gate_names(plan)
    _check_ignored(plan)
    _check_own_service(plan)
    _check_deploy(plan)
    check_backend(
        plan.services,
        host=plan.host,
        image=plan.postgres_image,
        version=plan.postgres_version,
        dockerfile=plan.postgres_dockerfile,
        postgres_bin=plan.postgres_bin,
        cache=plan.cache,
        standby=plan.standby,
    )
    _check_starting_point(plan)
    _check_drills(plan)
    for step in plan.steps:
        step.check()


def check_prepare(plan: Plan) -> None:
    """Raise UsageError for a secret in the command that is run first."""
    refuse_secret_in("--prepare", plan.prepare or "", "export it: the command inherits the environment")


def _check_deploy(plan: Plan) -> None:
    command, own = plan.deploy_command, plan.host is not None
    if plan.deploy_when not in (None, *DEPLOY_WHEN):
        known = " or ".join(DEPLOY_WHEN)
        raise UsageError(f"--deploy-when is {plan.deploy_when!r}.", f"Give {known} the migration.")
    if command is not None and not own:
        raise UsageError(
            "--deploy is for your own service: the harness deploys the reference service's next release.",
            "Give --deploy-when alone, or add --host.",
        )
    if plan.deploys and own and command is None:
        raise UsageError(
            "--deploy-when is given, but not what deploys your service.",
            "Add --deploy CMD, for instance --deploy 'kubectl rollout restart deployment/api'.",
        )
    if own and plan.instances != 1:
        raise UsageError("--instances is for the reference service, and --host names yours.", "Drop it.")
    refuse_below("--instances", plan.instances, 1)
    if plan.instances > MOST_INSTANCES:
        raise UsageError(f"--instances is {plan.instances}.", f"It must be at most {MOST_INSTANCES}.")
    refuse_below("--deploy-deadline", plan.deploy_deadline_s, 1.0, " seconds")
    refuse_secret_in("--deploy", command or "", "export it: the command inherits the environment")
    if plan.deploys and "old-code-new-schema" in {drill.name for drill in plan.planned_drills}:
        raise UsageError(
            "--drill old-code-new-schema compares the release that runs with the next one, which"
            " --deploy-when puts in its place.",
            "Give each a run of its own.",
        )


def _check_starting_point(plan: Plan) -> None:
    given = [
        flag
        for flag, value in (
            ("--from-dump", plan.from_dump),
            ("--recreate-database", plan.recreate_database),
        )
        if value
    ]
    if given and plan.host is None:
        raise UsageError(
            f"{given[0]} is for your own database: the reference service's is made anew for every run.",
            "Add --host and MUL_DATABASE_URL, or drop it.",
        )
    if given and plan.database_url is None:
        raise UsageError(
            f"{given[0]} is given, but no database.",
            "Set MUL_DATABASE_URL, for instance postgresql://user:password@127.0.0.1/shop.",
        )
    if plan.recreate_database and not (plan.from_dump or plan.prepare):
        raise UsageError(
            "--recreate-database would drop the database, and nothing says what it is made from.",
            "Add --from-dump FILE, made with pg_dump, or --prepare CMD.",
        )


def _check_drills(plan: Plan) -> None:
    names = [drill.name for drill in plan.planned_drills]
    for drill in plan.planned_drills:
        if drill.known.family == "migration" and (plan.placebo or plan.several):
            why = "a placebo has none" if plan.placebo else "this run has several"
            raise UsageError(f"--drill {drill.text} is a drill on the one migration: {why}.", "Drop it.")
        if names.count(drill.name) > 1 and drill.known.family == "migration":
            raise UsageError(f"--drill {drill.name} is given twice.", "Give each run one of them.")
    if "rollback" in names and not plan.rolls_back:
        raise UsageError("--drill rollback is given, but not where to.", "Add --downgrade REV.")
    disturbed = [d.text for d in plan.planned_drills if d.replaces_migration]
    if len(disturbed) > 1:
        raise UsageError(
            f"--drill {' and --drill '.join(disturbed)} are of one migration.",
            "Give each a run of its own.",
        )


def _check_rates(plan: Plan) -> None:
    for flag, rate in (("--target-rate", plan.target_rate), ("--spawn-rate", plan.spawn_rate)):
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise UsageError(f"{flag} is {rate:g}.", "Give a rate above 0 per second.")
    spawning_s = plan.users / plan.spawn_rate
    if plan.shape is None and spawning_s > max(plan.warmup_s, 1.0):
        raise UsageError(
            f"{plan.users} users at --spawn-rate {plan.spawn_rate:g} take {spawning_s:.0f} s to spawn, "
            f"longer than --warmup-time {plan.warmup_s:g}s: the baseline would measure the ramp-up.",
            "Raise one of them.",
        )


def _check_arrivals(plan: Plan) -> None:
    if plan.arrivals not in MODELS:
        raise UsageError(f"--arrivals is {plan.arrivals!r}.", f"Give one of: {', '.join(MODELS)}.")
    is_open, rates = plan.arrivals in OPEN_MODELS, plan.rates
    if plan.max_in_flight is not None and not is_open:
        raise UsageError(
            f"--max-in-flight is given, but with --arrivals {plan.arrivals} each user has one task at a"
            " time.",
            "Add --arrivals open, or drop it.",
        )
    if plan.max_in_flight is not None:
        refuse_below("--max-in-flight", plan.max_in_flight, plan.users)
    what = f"--arrivals {plan.arrivals}" if is_open else "--phase-rate" if rates else ""
    if what and plan.target_rate is None:
        raise UsageError(f"{what} is given, but no target rate.", "Add --target-rate.")
    if what and plan.shape is not None:
        raise UsageError(f"{what} is given, but {plan.shape} moves the load.", "Drop one of them.")
    if rates and plan.arrivals == CLOSED:
        raise UsageError("--phase-rate is given, but a closed loop keeps to no rate.", "Drop one of them.")


def _check_migration_names(plan: Plan) -> None:
    """Names tell several migrations apart, in reports and as folders of the run directory."""
    names = [step.name for step in plan.migrations]
    for number, name in enumerate(names, 1):
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,39}", name) and (name or len(names) > 1):
            said = f"is called {name!r}" if name else "has no name"
            raise UsageError(
                f"Migration {number} of {len(names)} {said}.",
                "Give each a name of at most 40 letters, digits, dots, dashes and underscores.",
            )
        if names.count(name) > 1:
            raise UsageError(f"Two migrations are called {name!r}.", "Give them different names.")


def _check_gate_names(plan: Plan) -> None:
    both = sorted(set(plan.no_gates) & set(plan.required))
    if both:
        raise UsageError(f"Gate {both[0]!r} is both in --no-gate and in --require.", "Drop one of them.")


def _check_ignored(plan: Plan) -> None:
    for text in plan.ignore:
        rule, _, reason = (part.strip() for part in text.partition(":"))
        if not rule or not reason:
            raise UsageError(
                f"--ignore {text!r} gives no {'reason' if rule else 'rule'}.",
                "Write --ignore 'RULE: reason', for instance"
                f" --ignore '{rule or 'RULE'}: the table has ten rows'.",
            )


def _check_own_service(plan: Plan) -> None:
    if plan.host is None:
        if plan.database_url:
            raise UsageError(
                "A database is given, but no service on it: the reference service brings its own.",
                "Add --host, or leave out MUL_DATABASE_URL and --database-url.",
            )
        if plan.replica_url:
            raise UsageError(
                "A replica is given, but no service: the reference service brings its own database.",
                "Add --standby for one beside that, or --host.",
            )
        return
    if plan.standby:
        raise UsageError(
            "--standby is for the database that the harness starts.",
            "Set MUL_REPLICA_URL to the URL of yours.",
        )
    if plan.replica_url and not plan.service_database_url:
        raise UsageError("A replica is given, but not the database that it follows.", "Set MUL_DATABASE_URL.")
    if plan.keep_database:
        raise UsageError(
            "--keep-database is for the database that the harness starts.",
            "Drop the flag: your own stays as the run leaves it, until a next one re-creates it.",
        )
    if plan.migrates and not all(step.alembic_config or step.command for step in plan.steps):
        raise UsageError(
            f"--host {plan.host} is given, but not where its migrations are.",
            "Add --alembic-config path/to/alembic.ini, --migration-command CMD, or --placebo to run"
            " without a migration.",
        )
    if plan.migrates and not all(step.database_url or plan.database_url for step in plan.steps):
        raise UsageError(
            f"--host {plan.host} is given, but not its database.",
            "Set MUL_DATABASE_URL, for instance postgresql://user:password@127.0.0.1/shop: the migration"
            " is held to that database. Without one there is only --placebo.",
        )
