"""How much memory this process has taken."""

from __future__ import annotations

from pathlib import Path

__all__ = ["peak_mb"]


def peak_mb() -> float:
    """The most megabytes that were resident so far, of this program alone: `ru_maxrss` also counts whoever
    started it (https://man7.org/linux/man-pages/man5/proc_pid_status.5.html, VmHWM).
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
