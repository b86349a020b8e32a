"""CPU and memory of this machine's processes, by group."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from subprocess import PIPE, Popen

import psutil

from harness.clock import monotonic, wait_until
from harness.db.processes import ProcessGroups

IDLE = "import sys; print(flush=True); sys.stdin.read()"


def test_a_groups_root_is_no_part_of_another() -> None:
    with Popen([sys.executable, "-c", IDLE], stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        parent = os.getppid()
        groups = ProcessGroups({"parent": parent, "child": child.pid, "gone": 2**22 + 1})
        groups.measure(1.0)
        used = groups.measure(2.0)
        assert child.stdin
        child.stdin.close()
    assert used.cpu.keys() == used.memory_mb.keys() == used.cpu_wait.keys() == {"parent", "child"}
    assert 3 < used.memory_mb["child"] < 100
    assert used.cpu["child"] < 0.5


def test_cpu_is_a_ratio_of_one_core_since_the_last_call() -> None:
    groups = ProcessGroups({})
    groups.add({"init": psutil.pids()[0]})
    used = groups.measure(1.0)
    assert (used.cpu, list(used.memory_mb), used.cpu_wait) == ({}, ["init"], {})
    used = groups.measure(1.0)
    assert (used.cpu, used.cpu_wait) == ({}, {})


def test_a_process_that_takes_anothers_place_makes_no_jump_in_its_parents_time() -> None:
    ended = psutil.pids()[-1]
    groups = ProcessGroups({"parent": os.getppid(), "service": ended})
    groups.measure(1.0)
    groups.add({"service": ended})
    assert groups.measure(2.0).cpu.keys() >= {"parent"}
    groups.add({"service": psutil.pids()[0]})
    assert groups.measure(3.0).cpu == {}


def test_a_process_that_shares_its_cpu_with_another_waits_for_it() -> None:
    """Two that never rest, held to one CPU: each is without it for about half of the time."""
    cpu = min(os.sched_getaffinity(0))
    busy = f"import os, sys; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True)\nwhile True: pass"
    with ExitStack() as ending:
        rivals = []
        for _ in range(2):
            rival = ending.enter_context(Popen([sys.executable, "-c", busy], stdout=PIPE))
            ending.callback(rival.kill)
            rivals.append(rival)
        for rival in rivals:
            assert rival.stdout
            rival.stdout.readline()
        groups = ProcessGroups({"busy": rivals[0].pid, "idle": 1})
        began = monotonic()
        groups.measure(0.0)
        assert wait_until(lambda: groups.measure(monotonic() - began).cpu_wait["busy"] > 0.1, 20.0)
