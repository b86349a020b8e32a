"""CPU and memory of the processes on this machine, by group: a process and its descendants.

Read from /proc (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html), one small file per process and
a second one per member: psutil, which checks with every value whether a pid was used again, takes seven times
the CPU for a hundred processes, and this is done every second on the machine whose database is judged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["ProcessGroups"]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Process:
    """A process; `cpu_s` has what its ended children used."""

    pid: int
    parent: int
    cpu_s: float


class ProcessGroups:
    """Measures groups again and again; one group's root is no part of another, nor is this process."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._cpu_s: dict[str, float] = {}
        self._measured_at: float | None = None

    def add(self, roots: Mapping[str, int]) -> None:
        """Measure these, too, or instead of those of the same name."""
        if any(self._roots.get(name, pid) != pid for name, pid in roots.items()):
            # What the old one had used in all its life has gone over to its parent, in no time.
            self._cpu_s.clear()
        self._roots |= roots

    def root(self, name: str) -> int | None:
        """The process that is the root of this group."""
        return self._roots.get(name)

    def measure(self, at: float) -> tuple[dict[str, float], dict[str, float]]:
        """CPU of each group since the last call, as a ratio of one core, and its memory in MB.

        What a group's ended children used is in their parents' times, so that it is not lost with them.
        Memory counts what is shared within a group (PostgreSQL's buffers) once.
        """
        families: dict[int, list[_Process]] = {}
        for process in _processes():
            families.setdefault(process.parent, []).append(process)
        cpu, memory, totals = {}, {}, {}
        for name, root in self._roots.items():
            members = list(self._members(root, families))
            used = [found for process in members if (found := _memory(process.pid))]
            if not used:
                continue
            totals[name] = sum(process.cpu_s for process in members)
            shared = max(shared for _, shared in used)
            memory[name] = round((sum(private for private, _ in used) + shared) / 2**20, 1)
            if self._measured_at is not None and name in self._cpu_s and at > self._measured_at:
                used_s = max(0.0, totals[name] - self._cpu_s[name])
                cpu[name] = round(used_s / (at - self._measured_at), 3)
        self._cpu_s, self._measured_at = totals, at
        return cpu, memory

    def _members(self, root: int, families: Mapping[int, list[_Process]]) -> Iterator[_Process]:
        others = {*self._roots.values(), os.getpid()} - {root}
        queue = [process for family in families.values() for process in family if process.pid == root]
        while queue:
            process = queue.pop()
            yield process
            queue += [child for child in families.get(process.pid, ()) if child.pid not in others]


def _processes() -> Iterator[_Process]:
    """Every process that can be seen."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := _read(f"/proc/{name}/stat")):
            # The program's name, in parentheses, may hold blanks and parentheses itself.
            fields = found[found.rindex(b")") + 2 :].split()
            yield _Process(int(name), int(fields[1]), sum(map(int, fields[11:15])) / TICKS_PER_S)


def _memory(pid: int) -> tuple[int, int] | None:
    """Private and shared bytes; None when the process is gone."""
    found = _read(f"/proc/{pid}/statm")
    if not found:
        return None
    _, resident, shared, *_ = map(int, found.split())
    return (resident - shared) * PAGE, shared * PAGE


def _read(path: str) -> bytes:
    """What the file holds, which is less than a page; nothing when its process is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)
