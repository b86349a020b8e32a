"""Options, markers and the list of fixture plug-ins; nothing else."""

import os
import sys

# Locust patches the standard library at import; the tests' own process stays unpatched, and a real Locust
# always runs in a process of its own.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"

# Tests start several hundred processes, and each would compile the harness anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins: list[str] = [
    "pytester",
    "tests.fix_cache",
    "tests.fix_compose",
    "tests.fix_controller",
    "tests.fix_docker",
    "tests.fix_episode",
    "tests.fix_faults",
    "tests.fix_http",
    "tests.fix_machine",
    "tests.fix_observer",
    "tests.fix_pooler",
    "tests.fix_postgres",
    "tests.fix_run",
    "tests.fix_starting_point",
    "tests.fix_target",
]
