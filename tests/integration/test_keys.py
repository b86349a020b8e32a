"""Keys where processes fork, as those of `locust --processes` do."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

FORKING = """
import os
from harness.load.keys import new_key
new_key()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(new_key())
"""


def test_processes_that_fork_have_keys_of_their_own() -> None:
    said = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60)
    assert said.stderr == ""
    assert len(set(said.stdout.split())) == 2
