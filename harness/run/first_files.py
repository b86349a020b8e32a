"""`harness init`: reads a service's OpenAPI document and writes the first files of a project."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.core.api_shape import ApiShape, shape_of
from harness.core.first_files import Given, ci_job, locustfile, plan_file
from harness.core.openapi import Document
from harness.core.secrets import mask
from harness.errors import SetupError, UsageError
from harness.run.http import open_url

__all__ = ["FirstFiles", "first_files", "next_steps", "read_document", "write_files"]

LARGEST = 50 * 2**20
LOCUSTFILE, PLAN_FILE, CI_JOB = "locustfile.py", "harness.toml", ".github/workflows/migration.yml"
AT_FASTAPI = "FastAPI serves it at /openapi.json."


@dataclass(frozen=True)
class FirstFiles:
    """The texts of the files, by path, and what they were made of."""

    texts: dict[str, str]
    shape: ApiShape
    given: Given


def first_files(
    document: Document,
    source: str,
    *,
    alembic_config: str = "alembic.ini",
    database: str | None = None,
    ci: bool = True,
) -> FirstFiles:
    """The files for the service of a document; `source` is the document's URL or file."""
    shape = shape_of(document)
    served = urlsplit(source)
    host = document.server
    if served.scheme in ("http", "https"):
        host = f"{served.scheme}://{served.netloc.rpartition('@')[2]}"  # no password goes into a file
    if host is not None and document.prefix:
        host = host.rstrip("/").removesuffix(document.prefix)  # the paths begin with it already
    given = Given(host, alembic_config, database)
    texts = {LOCUSTFILE: locustfile(shape), PLAN_FILE: plan_file(shape, given)}
    return FirstFiles(texts | ({CI_JOB: ci_job(shape, given)} if ci else {}), shape, given)


def write_files(files: FirstFiles, folder: Path, force: bool = False) -> None:
    """Write all of them, or none: raises UsageError when one is there already, unless `force`."""
    there = [name for name in files.texts if (folder / name).exists()]
    if there and not force:
        verb = "is" if len(there) == 1 else "are"
        raise UsageError(
            f"{', '.join(there)} {verb} there already, so nothing was written.",
            "Move what is there away, start in another folder, or overwrite it with --force.",
        )
    for name, text in files.texts.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SetupError(f"{path} cannot be written: {error.strerror}.") from None


def read_document(source: str) -> Document:
    """The OpenAPI document at a URL or in a file; raises UsageError or SetupError for what is none."""
    scheme = urlsplit(source).scheme
    text = _fetched(source) if scheme in ("http", "https") else _read(source)
    name = mask(source)
    try:
        tree: Any = json.loads(text)
    except json.JSONDecodeError as error:
        tree = _not_json(text, name, error)
    return Document(tree, name)


def _fetched(url: str) -> str:
    name = mask(url)
    try:
        with open_url(url, 10) as answer:
            return answer.read(LARGEST).decode("utf-8", errors="replace")
    except urllib.error.HTTPError as error:
        led = error.headers.get("Location")
        remedy = (
            f"It leads to {mask(led)}: give that." if led else f"Give the URL of the document: {AT_FASTAPI}"
        )
        raise UsageError(f"{name} answered HTTP {error.code}.", remedy) from None
    except (OSError, HTTPException, ValueError) as error:
        raise SetupError(
            f"{name} could not be read ({_reason(error)}).", "Start the service first, or mend the URL."
        ) from None


def _reason(error: Exception) -> str:
    """Why, as the operating system says it: `Connection refused`."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return (isinstance(cause, OSError) and cause.strerror) or type(cause).__name__


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"{path} cannot be read: {reason}.", "Give the URL or file of an OpenAPI document."
        ) from None


def _not_json(text: str, name: str, error: json.JSONDecodeError) -> Any:
    """What the text holds as YAML, if there is a parser for that."""
    if text.lstrip()[:1] == "<":
        raise UsageError(
            f"{name} is a page of HTML, no OpenAPI document.", f"Give the document's own URL: {AT_FASTAPI}"
        )
    if "openapi:" not in text and "swagger:" not in text:
        raise UsageError(
            f"{name} is no JSON: {error.msg} in line {error.lineno}.", "Give an OpenAPI 3 document as JSON."
        )
    try:
        import yaml
    except ImportError:
        raise UsageError(
            f"{name} seems to be YAML, and there is no parser for that here.",
            "Give the document as JSON, or `pip install pyyaml`.",
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(f"{name} is neither JSON nor YAML{line}.", "Mend it, or give it as JSON.") from None


def next_steps(files: FirstFiles) -> Iterator[str]:
    """What a person does now, line by line."""
    decide = sum(text.count("DECIDE") for text in files.texts.values())
    if decide:
        places = "places need" if decide > 1 else "place needs"
        yield f"Look for DECIDE first: {decide} {places} what only you know."
    yield "Then, with the service running on the database that is to be migrated:"
    yield ""
    yield f"    export MUL_DATABASE_URL=postgresql://USER:PASSWORD@127.0.0.1/{files.given.database or 'shop'}"
    yield "    locust -f locustfile.py --headless"
