"""A worker that Locust forked ends with its master, from the first instant on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from harness.clock import wait_until

pytestmark = pytest.mark.integration

MASTER = """
from gevent import monkey
monkey.patch_all()
import os
import gevent
from harness.load.hooks import end_children_with_us

end_children_with_us()
child = gevent.fork()
if not child:
    while True:  # as a worker does that looks for its master
        gevent.sleep(0.1)
print(child, flush=True)
os._exit(0)
"""


def test_a_forked_worker_ends_with_a_master_that_died_before_it_was_there() -> None:
    with subprocess.Popen([sys.executable, "-c", MASTER], stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout is not None
        worker = int(master.stdout.readline())
    gone = wait_until(lambda: not psutil.pid_exists(worker), 30)
    if not gone:
        os.kill(worker, signal.SIGKILL)
    assert gone
