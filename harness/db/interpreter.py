"""The interpreter of a command: which Python it starts, and whether the tracer can start there.

Nothing of the command is run to find out; its Python is, with the tracer's environment and a few lines that
look whether Alembic is installed. What is behind a shell, `make` or `uv run` shows only when it runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.db.migration import TraceTail, tracer_environment
from harness.errors import UsageError

__all__ = ["Python", "find_program", "python_of", "why_untraceable"]

PROBE = """
import importlib.util, sys
try:
    found = importlib.util.find_spec("alembic.config")
except ModuleNotFoundError:
    found = None
sys.exit(0 if found else 9)
"""
NO_ALEMBIC = 9

PROBE_WITHIN_S = 20.0

CANNOT = {
    "psql": "it is no Python program",
    "pg_restore": "it is no Python program",
    "docker": "what it runs does not inherit its environment",
    "docker-compose": "what it runs does not inherit its environment",
    "podman": "what it runs does not inherit its environment",
    "kubectl": "what it runs does not inherit its environment",
    "ssh": "what it runs is on another machine",
}
"""Programs in which no tracer can start, and why."""

_PYTHON = re.compile(r"(python|pypy)\d*(\.\d+)*t?")
_OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_PIPS_EXEC = re.compile(r"'''exec' \"?([^\"]+?)\"? \"\$0\"")
"""How pip writes a shebang that is too long, or has a blank: `#!/bin/sh`, then this line."""


@dataclass(frozen=True)
class Python:
    """An interpreter, the options it is started with, and the program or module that it runs."""

    path: str
    options: tuple[str, ...] = ()
    runs: str = ""
    is_module: bool = False


def why_untraceable(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Why the tracer cannot start in what this command runs; "" where it can, and where only the run will
    tell. `environment` is the command's, without the tracer's.

    Raises UsageError where the command's Python is not there, or has no Alembic to run.
    """
    rest, cleared = _after_env(words)
    if cleared:
        return f"{' '.join(words[:2])} hides the environment that starts the tracer"
    if not rest:
        return ""
    if why := CANNOT.get(Path(rest[0]).name):
        return f"{Path(rest[0]).name}: {why}"
    python = python_of(rest, folder, environment)
    return "" if python is None else _why_not_in(python, rest, folder, environment)


def find_program(name: str, folder: Path, environment: Mapping[str, str]) -> Path | None:
    """The file that `name` means to a process started in `folder` with this environment."""
    if "/" in name:
        path = folder / name
        return path if shutil.which(path) else None
    found = shutil.which(name, path=environment.get("PATH"))
    return None if found is None else Path(found).absolute()


def python_of(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Python | None:
    """The Python that a command starts at once; None where it starts something else, or cannot be told."""
    program = find_program(words[0], folder, environment)
    if program is None:
        return None
    if _PYTHON.fullmatch(program.name):
        return _of_arguments(str(program), words[1:])
    shebang = _shebang(program)
    if Path(shebang[0]).name == "env" and len(shebang) > 1:
        found = find_program(shebang[1], folder, environment)
        shebang = [str(found or shebang[1]), *shebang[2:]]
    if not _PYTHON.fullmatch(Path(shebang[0]).name):
        return None
    return Python(shebang[0], tuple(shebang[1:]), program.name)


def _after_env(words: Sequence[str]) -> tuple[Sequence[str], bool]:
    """What `env [-i] [NAME=VALUE] …` runs, and whether it hides the environment of its parent."""
    if Path(words[0]).name != "env":
        return words, False
    for number, word in enumerate(words[1:], 1):
        if word in ("-", "-i", "--ignore-environment") or word.startswith("PYTHONPATH="):
            return words, True
        if not word.startswith("-") and "=" not in word:
            return words[number:], False
        if word.startswith("-"):
            return (), False  # an option of env that is not read here
    return (), False


def _of_arguments(path: str, arguments: Sequence[str]) -> Python:
    """What `python [option] … [-m module | -c code | script]` starts
    (https://docs.python.org/3/using/cmdline.html)."""
    options: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if found := re.fullmatch(r"-([a-zA-Z]*?)([mc])(.*)", word, re.DOTALL):
            flags, last, value = found.groups()
            options += [f"-{flags}"] if flags else []
            is_module = last == "m"
            name = value or (rest[0] if rest else "")
            return Python(path, tuple(options), name if is_module else "", is_module)
        options.append(word)
        if word in _OPTIONS_WITH_VALUE and rest:
            options.append(rest.pop(0))
    return Python(path, tuple(options), Path(rest[0]).name if rest else "")


def _shebang(program: Path) -> list[str]:
    """The words of a script's first line; [""] of what is no script."""
    try:
        with program.open("rb") as file:
            first, second = (file.readline(1024).decode(errors="replace").strip() for _ in range(2))
    except OSError:
        return [""]
    if found := _PIPS_EXEC.match(second):
        return [found[1]]
    return first[2:].split() or [""] if first.startswith("#!") else [""]


def _why_not_in(python: Python, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Start the interpreter, and see whether the tracer says hello there."""
    with tempfile.TemporaryDirectory(prefix="mul-probe-") as temporary:
        trace = Path(temporary, "trace")
        try:
            probe = subprocess.run(
                [python.path, *python.options, "-c", PROBE],
                cwd=folder if python.is_module else temporary,
                env={**environment, **tracer_environment(environment, trace)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                timeout=PROBE_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ""
        except OSError as error:
            raise UsageError(
                f"{words[0]} is run by {python.path}, which cannot be started: {error.strerror}.",
                "Make its environment anew, or name the program of another.",
            ) from None
        hello = any(record.get("kind") == "hello" for record in TraceTail(trace).read())
    if probe.returncode == NO_ALEMBIC and _needs_alembic(python, words):
        raise UsageError(
            f"The Python that {words[0]} runs in has no Alembic: {python.path}.",
            "Install it there (python -m pip install alembic), or name the Python of the environment"
            " that has it, such as .venv/bin/python.",
        )
    if hello or probe.returncode not in (0, NO_ALEMBIC):
        return ""
    ignoring = [option for option in python.options if re.fullmatch(r"-[a-zA-Z]*[IE][a-zA-Z]*", option)]
    because = f"with {ignoring[0]} it ignores PYTHONPATH" if ignoring else "it did not load sitecustomize"
    return f"{Path(python.path).name}: {because}"


def _needs_alembic(python: Python, words: Sequence[str]) -> bool:
    return python.runs == "alembic" or (python.runs == "flask" and "db" in words)
