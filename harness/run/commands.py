"""Commands that get a database ready: the person's `--prepare`, the reference service's seed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.secrets import mask
from harness.environ import child_environment
from harness.errors import UsageError
from harness.run.services import end_of_log

__all__ = ["command_words", "prepare_database", "run_command"]


def prepare_database(command: str, environment: Mapping[str, str], log: Path) -> None:
    """Run the command line of `--prepare`; raises UsageError with the end of its output when it fails."""
    words = command_words(command)
    try:
        code = run_command(words, environment, log)
    except OSError as error:
        raise UsageError(
            f"--prepare: {words[0]} cannot be run: {error.strerror}.", "Check its path."
        ) from None
    if code != 0:
        raise UsageError(f"--prepare {mask(command)!r} ended with exit code {code}.", end_of_log(log))


def run_command(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Run a command in a session of its own, which ends with us; returns its exit code.

    `environment` is laid over this process's. Raises OSError when there is no such program.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=child_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def command_words(command: str) -> list[str]:
    """The words of a `--prepare`; raises UsageError when they cannot be told, or there are none."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--prepare cannot be read: {error}.", "Quote it as for a shell.") from None
    if not words:
        raise UsageError("--prepare names no command.", "Drop it, or write the command after it.")
    return words
