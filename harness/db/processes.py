"""CPU and memory of the processes on this machine, by group: a process and its descendants.

Read from /proc (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html), one small file per process and
two more per member: psutil, which checks with every value whether a pid was used again, takes seven times
the CPU for a hundred processes, and this is done every second on the machine whose database is judged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["ProcessGroups", "Usage"]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Process:
    """A process; `cpu_s` has what its ended children used."""

    pid: int
    parent: int
    cpu_s: float


@dataclass(frozen=True)
class Usage:
    """What the groups used since they were last measured, by name; absent where it is not known.

    `cpu` is a ratio of one core, `memory_mb` what they have now, `cpu_wait` the share of the time in which
    that process of the group that waited longest was ready to run and had no CPU. It is told of its first
    thread, where PostgreSQL's processes and a service with one event loop do their work
    (https://docs.kernel.org/scheduler/sched-stats.html).
    """

    cpu: Mapping[str, float]
    memory_mb: Mapping[str, float]
    cpu_wait: Mapping[str, float]


class ProcessGroups:
    """Measures groups again and again; one group's root is no part of another, nor is this process."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._cpu_s: dict[str, float] = {}
        self._waited_s: dict[int, float] = {}
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

    def measure(self, at: float) -> Usage:
        """What was used since the last call.

        What a group's ended children used is in their parents' times, so that it is not lost with them.
        Memory counts what is shared within a group (PostgreSQL's buffers) once.
        """
        families: dict[int, list[_Process]] = {}
        for process in _processes():
            families.setdefault(process.parent, []).append(process)
        since = at - self._measured_at if self._measured_at is not None else 0.0
        cpu, memory, wait, totals = {}, {}, {}, {}
        waited: dict[int, float] = {}
        for name, root in self._roots.items():
            members = list(self._members(root, families))
            used = [found for process in members if (found := _memory(process.pid))]
            if not used:
                continue
            totals[name] = sum(process.cpu_s for process in members)
            shared = max(shared for _, shared in used)
            memory[name] = round((sum(private for private, _ in used) + shared) / 2**20, 1)
            own = _waited([process.pid for process in members])
            waited |= own
            if since > 0.0 and name in self._cpu_s:
                cpu[name] = round(max(0.0, totals[name] - self._cpu_s[name]) / since, 3)
            known = [waited_s - self._waited_s[pid] for pid, waited_s in own.items() if pid in self._waited_s]
            if since > 0.0 and known:
                wait[name] = round(min(max(0.0, *known) / since, 1.0), 3)
        self._cpu_s, self._waited_s, self._measured_at = totals, waited, at
        return Usage(cpu, memory, wait)

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


def _waited(pids: Iterable[int]) -> dict[int, float]:
    """Seconds that each has been ready to run without a CPU since it began; absent where it is not known."""
    found = ((pid, _read(f"/proc/{pid}/schedstat").split()) for pid in pids)
    return {pid: int(fields[1]) * 1e-9 for pid, fields in found if len(fields) > 1}


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
