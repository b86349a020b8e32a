"""The CI jobs of `harness help ci` are whole: they parse, and name what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from harness.help import page
from tests.unit.test_help import flags_of_a_run, flags_of_commands

BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", page("ci"), re.MULTILINE | re.DOTALL)


def github() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(BLOCKS[0])
    return found


def gitlab() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(BLOCKS[1])
    return found


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = github()["jobs"]["migration"]["steps"]
    return found


def scripts() -> Iterator[str]:
    """Every shell script of both files."""
    yield from (step["run"] for step in steps() if "run" in step)
    for job in gitlab().values():
        yield from (line for key in ("before_script", "script") for line in job.get(key, ()))


def commands() -> list[list[str]]:
    """The words of each command line that starts `locust` or `harness`."""
    lines = (line.strip() for script in scripts() for line in script.replace("\\\n", " ").splitlines())
    return [line.split() for line in lines if line.startswith(("locust ", "harness "))]


def test_there_is_a_file_for_each_of_the_two() -> None:
    assert len(BLOCKS) == 2
    assert {"pull_request", "push"} == set(github()[True])  # YAML 1.1 reads `on` as true
    assert {".migration", "migration", "migration main run"} == set(gitlab())


def test_every_flag_and_command_exists() -> None:
    found = commands()
    assert {words[0] for words in found} == {"locust", "harness"}
    for words in found:
        flags = {word for word in words if re.fullmatch(r"--[a-z-]+", word)}
        assert flags
        known = flags_of_a_run() if words[0] == "locust" else flags_of_commands()
        assert flags <= known, flags - known


def test_no_password_is_in_a_script() -> None:
    assert not [script for script in scripts() if re.search("password|only-in-this-job", script.lower())]


def test_what_is_left_of_a_run_is_kept_however_it_ends() -> None:
    upload = next(step for step in steps() if step.get("uses", "").startswith("actions/upload-artifact"))
    assert (upload["if"], upload["with"]["path"]) == ("always()", "migration-run")
    artifacts = gitlab()[".migration"]["artifacts"]
    assert (artifacts["when"], artifacts["paths"]) == ("always", ["migration-run"])
    assert artifacts["reports"]["junit"] == "migration-run/junit.xml"


def test_what_is_cached_of_main_is_what_is_compared_with() -> None:
    paths = {s["with"]["path"] for s in steps() if s.get("uses", "").startswith("actions/cache/")}
    assert paths == {"main-run"}
    assert gitlab()[".migration"]["cache"]["paths"] == ["main-run"]
    compared = [words for words in commands() if words[:2] == ["harness", "compare"]]
    assert [words[2:4] for words in compared] == [["main-run", "migration-run"]] * 2


def test_inconclusive_is_a_warning_in_gitlab() -> None:
    assert gitlab()["migration"]["allow_failure"] == {"exit_codes": [4]}
