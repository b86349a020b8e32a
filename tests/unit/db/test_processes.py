"""CPU and memory of this machine's processes, by group."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from harness.db.processes import ProcessGroups

IDLE = "import sys; print(flush=True); sys.stdin.read()"


def test_a_groups_root_is_no_part_of_another() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        parent = os.getppid()
        groups = ProcessGroups({"parent": parent, "child": child.pid, "gone": 2**22 + 1})
        groups.measure(1.0)
        cpu, memory = groups.measure(2.0)
        assert child.stdin
        child.stdin.close()
    assert cpu.keys() == memory.keys() == {"parent", "child"}
    assert 3 < memory["child"] < 100
    assert cpu["child"] < 0.5


def test_cpu_is_a_ratio_of_one_core_since_the_last_call() -> None:
    groups = ProcessGroups({})
    groups.add({"init": psutil.pids()[0]})
    cpu, memory = groups.measure(1.0)
    assert (cpu, list(memory)) == ({}, ["init"])
    cpu, _ = groups.measure(1.0)
    assert cpu == {}


def test_a_process_that_takes_anothers_place_makes_no_jump_in_its_parents_time() -> None:
    ended = psutil.pids()[-1]
    groups = ProcessGroups({"parent": os.getppid(), "service": ended})
    groups.measure(1.0)
    groups.add({"service": ended})
    assert groups.measure(2.0)[0].keys() >= {"parent"}
    groups.add({"service": psutil.pids()[0]})
    assert groups.measure(3.0)[0] == {}
