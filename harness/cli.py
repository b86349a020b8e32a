"""`harness`: what is done before and after a run. The run itself is `locust -f …`, or `harness run -f …`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from harness import __version__
from harness.core.backend import BACKENDS, EMBEDDED
from harness.core.plan import Plan
from harness.core.plan_check import check_prepare
from harness.environ import child_environment, variable
from harness.errors import HarnessError, UsageError

__all__ = ["main"]

INTERRUPTED = 130
BROKEN_PIPE = 141
"""As a shell reports a program that SIGINT or SIGPIPE ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line for a person, unless `--debug`."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = _parsed(_parser(), arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except HarnessError as error:
        if options.debug:
            raise
        sys.stderr.write(f"harness: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("harness: interrupted; what was started is stopped.\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has gone; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The options; of a command that hands flags on to Locust, those in `flags`."""
    debug = list(argv[:1]) == ["--debug"]
    command, *flags = [*argv[debug:], ""]
    if command == "run":  # not parsed here: Locust knows its flags, among them --help
        return argparse.Namespace(command=_run, flags=flags[:-1], debug=debug)
    options, others = parser.parse_known_args(argv)
    if others and not hasattr(options, "flags"):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.flags = others
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("harness", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"migrate-under-load {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    commands.add_parser("run", help="locust, with any locustfile a migration test", add_help=False)

    analyze = commands.add_parser(
        "analyze", help="judge a run directory (again)", description=_analyze.__doc__, allow_abbrev=False
    )
    analyze.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    analyze.add_argument("--gate", action="append", default=[], metavar="EXPR", help="judge by this gate too")
    analyze.add_argument("--no-gate", action="append", default=[], metavar="NAME", help="leave this gate out")
    analyze.add_argument("--out", type=Path, metavar="DIR", help="write there instead of into RUN_DIR")
    analyze.set_defaults(command=_analyze)

    report = commands.add_parser(
        "report", help="show a run's report again", description=_report.__doc__, allow_abbrev=False
    )
    report.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    report.add_argument("--format", choices=["terminal", "html", "junit", "markdown"], default="terminal")
    report.set_defaults(command=_report)

    _add_compare(commands)
    _add_trace(commands)
    _add_init(commands)

    plan = commands.add_parser(
        "plan", help="the whole run as it would be", description=_plan.__doc__, allow_abbrev=False
    )
    plan.add_argument("-f", "--locustfile", metavar="FILE", help="default: the plan file's, or locustfile.py")
    plan.add_argument("--plan", metavar="FILE", help="default: harness.toml, or pyproject.toml's table")
    plan.set_defaults(command=_plan, flags=[])

    doctor = commands.add_parser(
        "doctor", help="what is and is not ready for a run", description=_doctor.__doc__, allow_abbrev=False
    )
    doctor.add_argument("--host", help="base URL of your own service")
    doctor.add_argument("--alembic-config", metavar="INI")
    doctor.add_argument("--postgres-bin", metavar="DIR")
    doctor.add_argument(
        "--services", choices=BACKENDS, help="where the reference service's PostgreSQL is to run"
    )
    doctor.set_defaults(command=_doctor)

    explain = commands.add_parser(
        "explain",
        help="what a rule of advice, the gates, the drills, the keys of a plan file mean",
        description=_explain.__doc__,
        allow_abbrev=False,
    )
    topic = explain.add_mutually_exclusive_group(required=True)
    topic.add_argument(
        "topic",
        nargs="?",
        metavar="RULE|gates|drills|plan-file",
        help="a rule's id, `gates`, `drills` or `plan-file`",
    )
    topic.add_argument("--all", action="store_true", help="every rule of advice")
    explain.set_defaults(command=_explain)

    help_ = commands.add_parser(
        "help", help="how to do things, by topic", description=_help.__doc__, allow_abbrev=False
    )
    help_.add_argument("topic", nargs="?", metavar="TOPIC", help="none: the topics")
    help_.set_defaults(command=_help)
    return parser


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = commands.add_parser(
        "init",
        help="write a first locustfile, plan file and CI job for your service",
        description=_init.__doc__,
        allow_abbrev=False,
    )
    init.add_argument("--openapi", required=True, metavar="URL|FILE", help="the service's OpenAPI 3 document")
    init.add_argument("--alembic-config", default="alembic.ini", metavar="INI", help="default: alembic.ini")
    init.add_argument("--database", metavar="NAME", help="the database that may be migrated")
    init.add_argument("--no-ci", action="store_true", help="write no CI job")
    init.add_argument("--force", action="store_true", help="overwrite what is there")
    init.set_defaults(command=_init)


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = commands.add_parser(
        "compare",
        help="what changed between two runs, and whether chance alone may have done it",
        description=_compare.__doc__,
        allow_abbrev=False,
    )
    compare.add_argument("old", type=Path, metavar="OLD", help="run directory to compare with")
    compare.add_argument("new", type=Path, metavar="NEW", help="run directory that is compared")
    compare.add_argument(
        "--max-slower",
        default="10% + 5ms",
        metavar="SHARE",
        help="how much slower is a regression, such as 25%% or '10%% + 5ms' (the default)",
    )
    compare.add_argument(
        "--relative",
        action="store_true",
        help="compare latencies after taking out what changed in the baseline already",
    )
    compare.add_argument("--all", action="store_true", help="show endpoints that did not change, too")
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print every number for a program")
    form.add_argument("--markdown", action="store_true", help="print Markdown for a job summary")
    compare.set_defaults(command=_compare)


def _add_trace(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    trace = commands.add_parser(
        "trace",
        help="what each statement of a migration locks, rewrites and blocks, without load",
        description=_trace.__doc__,
        allow_abbrev=False,
    )
    trace.add_argument(
        "--alembic-config", metavar="INI", help="your alembic.ini; default: the reference service's"
    )
    trace.add_argument("--upgrade", metavar="REV", help="default: head, safe@head for the reference service")
    trace.add_argument("--prepare", metavar="CMD", help="run this first, on the same database")
    trace.add_argument("--json", action="store_true", help="print the `migration` object of verdict.json")
    trace.add_argument("--postgres-bin", metavar="DIR", help="PostgreSQL's programs for the embedded server")
    trace.add_argument("--allow-database", metavar="NAME", action="append", default=[])
    trace.add_argument("--allow-host", metavar="NAME", action="append", default=[])
    trace.add_argument("--allow-production", action="store_true")
    trace.set_defaults(command=_trace)


def _run(options: argparse.Namespace) -> NoReturn:
    """Become Locust, with any locustfile a migration test: the one of its flags, else the plan file's."""
    from harness.run.locust_process import locust_command
    from harness.run.plan_file import find_plan_file, named_plan_file

    planned = find_plan_file(named_plan_file(options.flags)).locustfile
    locustfile = variable("LOCUST_LOCUSTFILE") or planned
    environment = child_environment({"LOCUST_LOCUSTFILE": locustfile} if locustfile else {})
    os.execve(sys.executable, locust_command(options.flags), environment)  # noqa: S606


def _analyze(options: argparse.Namespace) -> int:
    """Judge a run directory from its files alone. With the run's own gates this writes the same verdict.json
    again, byte for byte; a verdict by other gates never overwrites it: it goes to --out, else to standard
    output.
    """
    from harness.report import terminal
    from harness.run.analysis import analyze, judged
    from harness.store import dump_json

    gates, no_gates = tuple(options.gate), tuple(options.no_gate)
    if (gates or no_gates) and options.out is None:
        verdict, _ = judged(options.run_dir, gates, no_gates)
        sys.stdout.write(dump_json(verdict.as_json()))
        return verdict.exit_code
    if (gates or no_gates) and options.out.resolve() == options.run_dir.resolve():
        raise UsageError("--out is the run directory itself.", "Give another folder: its verdict is kept.")
    verdict, view = analyze(options.run_dir, options.out, gates, no_gates)
    terminal.render(view, terminal.console())
    return verdict.exit_code


def _compare(options: argparse.Namespace) -> int:
    """Compare two runs per phase and endpoint: latency, errors and throughput with the chance that noise made
    the difference. Ends with 1 when something became clearly slower than --max-slower allows or fails more
    often, with 4 when the runs are too little evidence, else with 0.
    """
    from harness.report import comparison, terminal
    from harness.run.comparing import compare_runs
    from harness.store import dump_json

    found = compare_runs(options.old, options.new, options.max_slower, options.relative)
    if options.json:
        sys.stdout.write(dump_json(found.as_json()))
    elif options.markdown:
        sys.stdout.write(comparison.render_markdown(found, options.all))
    else:
        comparison.render_terminal(found, terminal.console(), options.all)
    return int(found.exit_code)


def _report(options: argparse.Namespace) -> int:
    """Show a run's report again, as text on standard output. Writes nothing."""
    from harness.report import html, junit, markdown, terminal
    from harness.run.analysis import judged

    _, view = judged(options.run_dir)
    if options.format == "terminal":
        terminal.render(view, terminal.console())
        return 0
    render = {"html": html.render, "junit": junit.render, "markdown": markdown.render}[options.format]
    sys.stdout.write(render(view))
    return 0


def _init(options: argparse.Namespace) -> int:
    """Write locustfile.py, harness.toml and .github/workflows/migration.yml into this folder, from what the
    service's OpenAPI document says. What only you can know is marked with DECIDE.
    """
    from harness.run.first_files import first_files, next_steps, read_document, write_files

    files = first_files(
        read_document(options.openapi),
        options.openapi,
        alembic_config=options.alembic_config,
        database=options.database,
        ci=not options.no_ci,
    )
    write_files(files, Path(), options.force)
    sys.stdout.write("".join(f"wrote {name}\n" for name in files.texts))
    sys.stdout.write("\n".join(["", *next_steps(files), ""]))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    """Say what is and is not ready for a run: PostgreSQL, privileges, migration, service, descriptors. Looks
    only, at what flags, variables and the plan file name, as a run would; the database is the one of
    MUL_DATABASE_URL. Where a container is planned (--services), the Docker engine is looked for in place of
    an embedded PostgreSQL.
    """
    from harness.run.doctor import examine
    from harness.run.plan_file import Planned

    console = Console(highlight=False, markup=False)
    planned = Planned.here()
    plan = Plan(
        host=planned.text("host", options.host),
        database_url=planned.database_url,
        alembic_config=planned.text("alembic_config", options.alembic_config),
        upgrade=planned.text("upgrade", None) or "head",
        migrations=planned.file.migrations(variable),
        services=planned.text("services", options.services) or EMBEDDED,
        postgres_bin=planned.text("postgres_bin", options.postgres_bin),
    )
    findings = examine(plan)
    for finding in findings:
        console.print(f"{finding.mark:<5} {finding.what}: {finding.found}", soft_wrap=True)
        if finding.remedy:
            console.print(f"       {finding.remedy}", soft_wrap=True)
    return 2 if any(finding.ready is False for finding in findings) else 0


def _trace(options: argparse.Namespace) -> int:
    """Upgrade the database of MUL_DATABASE_URL, or an embedded one, and show of each statement which locks it
    held for how long, what it rewrote and read, what users could not do meanwhile, and how to write it
    safely. No service, no load. What no flag says is the plan file's, as for a run. An embedded database ends
    with the trace; env.py finds it in MUL_DATABASE_URL. Ends with 0, with 1 when the migration failed, with 4
    when there was nothing to migrate or not all was seen.
    """
    from harness.report.terminal import console
    from harness.report.trace_text import render_trace
    from harness.run.plan_file import Planned
    from harness.run.tracing import REFERENCE_UPGRADE, trace_migration
    from harness.store import dump_json

    planned = Planned.here()
    config = planned.text("alembic_config", options.alembic_config)
    if config is None and planned.is_own:
        raise UsageError(
            "A service or a database of your own is given, but not where its migrations are.",
            "Add --alembic-config path/to/alembic.ini, or drop MUL_DATABASE_URL for the reference service's.",
        )
    plan = Plan(
        database_url=planned.database_url,
        alembic_config=config,
        upgrade=planned.text("upgrade", options.upgrade) or ("head" if config else REFERENCE_UPGRADE),
        prepare=planned.text("prepare", options.prepare),
        postgres_bin=planned.text("postgres_bin", options.postgres_bin),
        allow_database=planned.texts("allow_database", options.allow_database),
        allow_host=planned.texts("allow_host", options.allow_host),
        allow_production=options.allow_production or bool(planned.file.defaults.get("allow_production")),
    )
    check_prepare(plan)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started must not outlive us
    traced = trace_migration(plan, _say)
    if options.json:
        sys.stdout.write(dump_json(traced.migration))
    else:
        render_trace(traced.migration, console())
    if traced.problem:
        sys.stderr.write(f"harness: {traced.problem}\n")
    return traced.exit_code


def _plan(options: argparse.Namespace) -> int:
    """Print the run that the plan file, environment variables and flags make, every default resolved and
    every secret masked, as `locust --dry-run` does; refuse what is wrong in it. Touches nothing. All flags of
    a run may be given.
    """
    from harness.run.locust_process import locustfile_of, print_plan
    from harness.run.plan_file import find_plan_file

    file = find_plan_file(options.plan or variable("MUL_PLAN"))
    flags = [*options.flags, *(("--plan", options.plan) if options.plan else ())]
    return print_plan(locustfile_of(options.locustfile, file.locustfile), flags, _say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _explain(options: argparse.Namespace) -> int:
    """Print what a rule of advice finds and how to write it safely, or every rule, or the built-in gates with
    the metrics and the grammar for gates of your own, the drills and their grades, or the keys of a plan
    file.
    """
    from harness.core import advice, drills, gates

    if options.topic == "gates":
        sys.stdout.write(gates.explain())
        return 0
    if options.topic == "drills":
        sys.stdout.write(drills.explain_drills())
        return 0
    if options.topic == "plan-file":
        from harness.core.plan_keys import explain_keys
        from harness.load.arguments import flag_words

        sys.stdout.write(explain_keys(flag_words()))
        return 0
    known = [rule.id for rule in advice.RULES]
    if options.topic is not None and options.topic not in known:
        near = get_close_matches(options.topic, [*known, "gates", "drills", "plan-file"], n=3, cutoff=0.4)
        raise UsageError(
            f"There is no rule {options.topic!r}.",
            f"Near it: {', '.join(near)}." if near else "`harness explain --all` lists them.",
        )
    sys.stdout.write(f"{advice.explain_rules([] if options.all else [options.topic])}\n")
    return 0


def _help(options: argparse.Namespace) -> int:
    """Print the page on a topic, or the topics there are. Rendered for a terminal, as Markdown otherwise."""
    from rich.markdown import Markdown

    from harness.help import contents, page

    if options.topic is None:
        sys.stdout.write(f"{contents()}\n")
    elif sys.stdout.isatty():
        Console().print(Markdown(page(options.topic)))
    else:
        sys.stdout.write(page(options.topic))
    return 0
