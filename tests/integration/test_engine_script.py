""".ci/docker-engine: what it starts ends with it, whatever it is told and however often."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.integration]

SCRIPT = Path(__file__).parents[2] / ".ci" / "docker-engine"
NO_ENGINE = 69


def begun(command: str) -> subprocess.Popen[str]:
    """The script with a command, where no engine answers: it starts one, if it is root's."""
    return subprocess.Popen(
        [SCRIPT, "sh", "-c", command],
        env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_signals_in_the_midst_of_it_leave_nothing() -> None:
    """As root; anybody else is told that no engine can run."""
    process = begun("docker info --format '{{.DockerRootDir}}' && exec sleep 300")
    assert process.stdout is not None
    root = process.stdout.readline().strip()
    if os.geteuid() != 0:
        process.communicate(timeout=90)
        assert (root, process.returncode) == ("", NO_ENGINE)
        return
    place = Path(root).parent
    assert place.name.startswith("mul-engine-")
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    process.communicate(timeout=90)
    assert process.returncode == 128 + signal.SIGTERM
    assert not place.exists()
    assert f"{place}/" not in Path("/proc/mounts").read_text()
    commands = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if each.exists()]
    assert not [command for command in commands if os.fsencode(f"{place}/") in command]


def test_its_exit_code_is_the_commands() -> None:
    process = begun("exit 7")
    process.communicate(timeout=90)
    assert process.returncode == (7 if os.geteuid() == 0 else NO_ENGINE)
