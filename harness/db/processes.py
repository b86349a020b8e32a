"""CPU and memory of the processes on this machine, by group: a process and its descendants."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import psutil

__all__ = ["ProcessGroups"]


class ProcessGroups:
    """Measures groups again and again; one group's root is no part of another, nor is this process."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._cpu_s: dict[str, float] = {}
        self._measured_at: float | None = None

    def add(self, roots: Mapping[str, int]) -> None:
        """Measure these, too, or instead of those of the same name."""
        self._roots |= roots

    def measure(self, at: float) -> tuple[dict[str, float], dict[str, float]]:
        """CPU of each group since the last call, as a ratio of one core, and its memory in MB.

        What a group's ended children used is in their parents' times, so that it is not lost with them.
        Memory counts what is shared within a group (PostgreSQL's buffers) once.
        """
        families: dict[int, list[psutil.Process]] = {}
        for process in psutil.process_iter(["ppid"]):
            families.setdefault(process.info["ppid"], []).append(process)
        cpu, memory, totals = {}, {}, {}
        for name, root in self._roots.items():
            usage = [used for process in self._members(root, families) if (used := _usage(process))]
            if not usage:
                continue
            totals[name] = sum(cpu_s for cpu_s, _, _ in usage)
            shared = max(shared for _, _, shared in usage)
            memory[name] = round((sum(private for _, private, _ in usage) + shared) / 2**20, 1)
            if self._measured_at is not None and name in self._cpu_s and at > self._measured_at:
                used_s = max(0.0, totals[name] - self._cpu_s[name])
                cpu[name] = round(used_s / (at - self._measured_at), 3)
        self._cpu_s, self._measured_at = totals, at
        return cpu, memory

    def _members(self, root: int, families: Mapping[int, list[psutil.Process]]) -> Iterator[psutil.Process]:
        others = {*self._roots.values(), os.getpid()} - {root}
        queue = [process for family in families.values() for process in family if process.pid == root]
        while queue:
            process = queue.pop()
            yield process
            queue += [child for child in families.get(process.pid, ()) if child.pid not in others]


def _usage(process: psutil.Process) -> tuple[float, int, int] | None:
    """CPU seconds (its ended children's included), private and shared bytes; None when it is gone."""
    try:
        times, memory = process.cpu_times(), process.memory_info()
    except psutil.Error:
        return None
    cpu_s = times.user + times.system + times.children_user + times.children_system
    shared = getattr(memory, "shared", 0)
    return cpu_s, memory.rss - shared, shared
