"""README says what the code does: flags, gates, exit codes, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from locust.argument_parser import get_empty_argument_parser

from harness.cli import main
from harness.core.advice import explain_rules, rules_table
from harness.core.drills import DRILLS, explain_drills
from harness.core.gates import explain
from harness.core.plan_keys import explain_keys
from harness.load.arguments import add_arguments, flag_words

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
HELP = Path(__file__).parents[2] / "harness" / "help"


def _flags() -> list[str]:
    parser = get_empty_argument_parser()
    add_arguments(parser)
    known = {option for action in get_empty_argument_parser()._actions for option in action.option_strings}
    found = [option for action in parser._actions for option in action.option_strings]
    return [option for option in found if option.startswith("--") and option not in known]


def test_there_are_flags_to_document() -> None:
    assert "--upgrade" in _flags()


@pytest.mark.parametrize("flag", _flags())
def test_every_flag_is_in_the_readme(flag: str) -> None:
    assert f"`{flag}" in README


def test_every_flag_of_the_readmes_table_exists() -> None:
    rows = re.findall(r"^\| `(--[a-z-]+)", README, re.MULTILINE)
    assert set(rows) == set(_flags())


def test_the_readme_has_the_gates_as_the_program_explains_them() -> None:
    shown = README.split("<!-- gates: printed by `harness explain gates` -->")[1].split("<!-- /gates -->")[0]
    assert shown.strip() == explain().strip()


def test_the_readme_has_the_drills_as_the_program_explains_them() -> None:
    shown = README.split("<!-- drills: printed by `harness explain drills` -->")[1].split("<!-- /drills -->")[
        0
    ]
    assert shown.strip() == explain_drills().strip()


@pytest.mark.parametrize("name", DRILLS)
def test_there_is_a_command_for_every_drill(name: str) -> None:
    assert re.search(rf"^locust .* --drill {name}\b", README, re.MULTILINE)


def test_the_readme_has_the_rules_as_the_program_explains_them() -> None:
    head = "<!-- rules: the table at the head of `harness explain --all` -->"
    shown = README.split(head)[1].split("<!-- /rules -->")[0]
    assert shown.strip() == rules_table()
    assert explain_rules().startswith(shown.strip())


def test_the_help_page_has_the_keys_as_the_program_explains_them() -> None:
    page = (HELP / "plan-file.md").read_text(encoding="utf-8")
    shown = page.split("<!-- keys: printed by `harness explain plan-file` -->")[1].split("<!-- /keys -->")[0]
    assert shown.strip() == explain_keys(flag_words()).strip()


@pytest.mark.parametrize(
    "command", ["analyze", "compare", "report", "doctor", "explain", "trace", "plan", "help", "init"]
)
def test_every_command_is_in_the_readme(command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"harness {command}" in README


def test_the_command_that_becomes_locust_is_in_the_readme() -> None:
    assert "harness run -f" in README


def test_no_exit_code_is_missing_from_the_readme() -> None:
    for code in (0, 1, 2, 3, 4, 130):
        assert f"\n| {code} |" in README
