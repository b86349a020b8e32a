"""The first files of a project, as text, from the shape of its API: locustfile, plan file, CI job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.core.api_auth import AuthShape
from harness.core.api_shape import ApiShape, ResourceShape
from harness.core.bodies import CanaryText, NewId, holds

__all__ = ["Given", "ci_job", "locustfile", "plan_file", "source"]

DEFAULT_HOST = "http://127.0.0.1:8000"
WIDTH = 100
INDENT = "    "


@dataclass(frozen=True)
class Given:
    """What a person said: the service's base URL, None where it is not known, the path of alembic.ini, and
    the database that may be migrated, if they named one.
    """

    host: str | None
    alembic_config: str = "alembic.ini"
    database: str | None = None


@dataclass(frozen=True)
class Call:
    """A call, as source: `name(argument, option=value)`."""

    name: str
    arguments: Sequence[Any]
    options: Mapping[str, Any]


def source(value: Any, indent: int = 0, before: int = 0) -> str:
    """The value as Python source, over several lines where one of WIDTH has not enough room.

    `indent` is how deep its first line stands, `before` how many characters stand before it there.
    """
    line = _line(value)
    if len(INDENT) * indent + before + len(line) <= WIDTH or not isinstance(value, Call | dict | list):
        return line
    inside = INDENT * (indent + 1)
    left, right = _brackets(value)
    parts = [f"{inside}{name}{source(one, indent + 1, len(name) + 1)}," for name, one in _parts(value)]
    return "\n".join([left, *parts, f"{INDENT * indent}{right}"])


def _line(value: Any) -> str:
    if isinstance(value, CanaryText):
        return f"canary({_quoted(value.rest)})" if value.rest else "canary"
    if isinstance(value, NewId):
        return "new_id"
    if isinstance(value, Call | dict | list):
        left, right = _brackets(value)
        return f"{left}{', '.join(f'{name}{_line(one)}' for name, one in _parts(value))}{right}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(map(_quoted, sorted(value)))}}}"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _brackets(value: Call | dict[str, Any] | list[Any]) -> tuple[str, str]:
    if isinstance(value, Call):
        return f"{value.name}(", ")"
    return ("{", "}") if isinstance(value, dict) else ("[", "]")


def _parts(value: Call | dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"{_quoted(name)}: ", one) for name, one in value.items())
    elif isinstance(value, list):
        yield from (("", one) for one in value)
    else:
        yield from (("", one) for one in value.arguments)
        yield from ((f"{name}=", one) for name, one in value.options.items())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def locustfile(shape: ApiShape) -> str:
    """The locustfile: what a person must decide is marked with DECIDE."""
    body = [*_auth_lines(shape.auth), *(line for one in shape.resources for line in _resource_lines(one))]
    if shape.pages:
        body += [f"{INDENT}pages = {source(shape.pages, 1, len('pages = '))}", ""]
    body += [f"{INDENT}# Left out: {path} ({reason})." for path, reason in shape.left_out.items()]
    if not shape.resources and not shape.pages:
        body += _decisions(["nothing was found that users could do: declare a Resource, or write tasks"])
    lines = [
        f'"""What users do with {_plain(shape.title)} while its database is migrated.',
        "",
        "Written by `harness init` from its OpenAPI document; `harness help own-service` explains it.",
        '"""',
        "",
        f"from harness.locust import {', '.join(_imports(shape))}",
        "",
        "",
        "class Person(MigrationUser):",
        '    """Does what is declared here; give it tasks of its own (@task) for anything else."""',
        "",
        *body,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    """A title without what would end the docstring."""
    return " ".join(text.replace("\\", " ").replace('"', "'").split())


def _imports(shape: ApiShape) -> list[str]:
    names = {"MigrationUser"}
    if shape.auth.kind:
        names.add(shape.auth.kind)
    if shape.auth.registration:
        names.add("Registration")
    if shape.resources:
        names.add("Resource")
    bodies = [one.arguments for one in shape.resources]
    if holds(bodies, CanaryText):
        names.add("canary")
    if holds(bodies, NewId):
        names.add("new_id")
    return sorted(names, key=lambda name: (name.islower(), name))


def _auth_lines(auth: AuthShape) -> Iterator[str]:
    yield from _remarks(auth.said)
    yield from _decisions(auth.decide)
    if auth.kind is None:
        yield ""
        return
    options = dict(auth.options)
    if auth.registration is not None:
        path, body = auth.registration
        options["register"] = Call("Registration", [path], {"json": body})
    if auth.needs_accounts:
        column = "token" if auth.kind == "StaticToken" else "password"
        yield from _decisions([f"list accounts in accounts.csv, with the columns username,{column}"])
    yield f"{INDENT}auth = {source(Call(auth.kind, auth.arguments, options), 1, len('auth = '))}"
    if auth.account_name is not None:
        yield f"{INDENT}account_name = {_quoted(auth.account_name)}"
    yield ""


def _resource_lines(resource: ResourceShape) -> Iterator[str]:
    yield from _remarks(resource.said)
    yield from _decisions(resource.decide)
    if resource.create is not None:
        yield f"{INDENT}# Until then they are only read; then add: create={_line(resource.create)}"
    call = Call("Resource", [resource.path], resource.arguments)
    yield f"{INDENT}{resource.name} = {source(call, 1, len(resource.name) + 3)}"
    yield ""


def _remarks(texts: Iterable[str]) -> Iterator[str]:
    yield from (f"{INDENT}# {text[0].upper()}{text[1:]}." for text in texts)


def _decisions(texts: Iterable[str]) -> Iterator[str]:
    yield from (f"{INDENT}# DECIDE: {text}." for text in texts)


def plan_file(shape: ApiShape, given: Given) -> str:
    """The plan file; every key of it is explained by `harness explain plan-file`."""
    host = given.host or DEFAULT_HOST
    lines = [
        "# How `locust -f locustfile.py --headless` runs here; `harness plan` prints all of it.",
        "# The database is given as MUL_DATABASE_URL, never here.",
        "",
        "[service]",
        f"host = {_quoted(host)}{'' if given.host else '  # DECIDE: the base URL of your service'}",
        "",
        "[load]",
        'locustfile = "locustfile.py"',
        *(['accounts = "accounts.csv"'] if shape.auth.needs_accounts else []),
        "users = 30",
        "target-rate = 80  # requests per second; DECIDE: what the service serves on a busy day",
        "",
        "[migration]",
        f"alembic-config = {_quoted(given.alembic_config)}",
        'upgrade = "head"',
        "",
        "[safety]",
        f"databases = [{_quoted(given.database)}]"
        if given.database
        else "databases = []  # DECIDE: the name of the database that may be migrated",
    ]
    name = urlsplit(host).hostname or ""
    if name not in ("127.0.0.1", "localhost", "::1"):
        lines.append(f"hosts = []  # DECIDE: {_quoted(name)}, if the load may go there")
    return "\n".join(lines) + "\n"


def ci_job(shape: ApiShape, given: Given) -> str:
    """A GitHub Actions workflow that runs the migration under load on every pull request."""
    host = given.host or DEFAULT_HOST
    return CI_JOB.format(
        database=given.database or "shop",
        alembic_config=given.alembic_config,
        port=urlsplit(host).port or 8000,
        health=f"{host.rstrip('/')}{shape.health or '/'}",
        fails="f" if shape.health else "",  # without a health path any answer will do
    )


CI_JOB = """\
name: migration

on: pull_request

jobs:
  migration:
    runs-on: ubuntu-latest
    timeout-minutes: 20
    services:
      postgres:
        image: postgres:17  # DECIDE: the version in production
        env:
          POSTGRES_DB: {database}
          POSTGRES_PASSWORD: postgres
        ports: ["5432:5432"]
        options: --health-cmd pg_isready --health-interval 2s --health-retries 30
    env:
      MUL_DATABASE_URL: postgresql://postgres:postgres@127.0.0.1/{database}
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      # DECIDE: how your service and migrate-under-load are installed (from your own index, or a clone), and
      # which variables the service and its env.py take the database from.
      - run: pip install migrate-under-load -r requirements.txt
      # DECIDE: the schema of the release that runs today, with as many rows as hurt: a dump, or a seed.
      - run: |
          git worktree add ../released origin/${{{{ github.base_ref }}}}
          cd ../released && alembic -c {alembic_config} upgrade head
      # DECIDE: how your service is started. It is the release that runs today, not the one of this change.
      - run: cd ../released && nohup uvicorn app.main:app --port {port} > ../service.log 2>&1 &
      - run: curl -{fails}sS -o /dev/null --retry 30 --retry-connrefused --retry-delay 1 {health}
      # 0 pass, 1 fail, 4 inconclusive: `harness help ci` makes 4 a warning, and compares with main.
      - run: locust -f locustfile.py --headless
      - if: always()
        run: if [ -e runs/latest ]; then cat runs/latest/summary.md >> "$GITHUB_STEP_SUMMARY"; fi
      - if: always()
        uses: actions/upload-artifact@v4
        with:
          name: migration
          path: runs
"""
