"""The process that owns something which outlives processes, such as a container: written down in a label, so
that a later run can tell whether it still lives.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["lives", "this_process"]

STATE, STARTED = 0, 19
"""Of what follows the name in /proc/PID/stat: the state, and the start in ticks since boot, by which a number
that was given again is told from the first (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html).
"""


def this_process() -> str:
    """This process, as no other one ever is: `boot/pid namespace/pid/start`."""
    return f"{_boot()}/{_namespace()}/{os.getpid()}/{_started(os.getpid())}"


def lives(owner: str) -> bool:
    """Whether the process still runs that wrote itself down so.

    One in another pid namespace (a container with the engine's socket in it) cannot be looked at from here
    and is held to live; so is what is not of this form.
    """
    found = re.fullmatch(r"(?P<boot>[^/]+)/(?P<namespace>[^/]+)/(?P<pid>\d+)/(?P<started>\d+)", owner)
    if found is None or found["boot"] != _boot():
        return found is None
    return found["namespace"] != _namespace() or found["started"] == _started(int(found["pid"]))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> str:
    return str(os.readlink("/proc/self/ns/pid"))


def _started(pid: int) -> str:
    """When the process was started; nothing where there is none, or only what its parent has not fetched."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = text.rpartition(")")[2].split()  # a process's name may hold blanks and parentheses
    return "" if fields[STATE] in "ZX" else fields[STARTED]
