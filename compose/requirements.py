"""Prints what pip installs for an image, from pyproject.toml: `requirements.py service|harness`."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
service = project["optional-dependencies"]["service"]
# The harness's container prepares the database for a run: that hashes passwords, and empties the cache.
filling = [requirement for requirement in service if requirement.startswith(("argon2-cffi", "redis"))]
wanted = {"harness": project["dependencies"] + filling, "service": service}
sys.stdout.writelines(f"{requirement}\n" for requirement in wanted[sys.argv[1]])
