"""Every topic has a page, and every page names only what there is."""

from __future__ import annotations

import re
import tomllib
from functools import cache

import pytest
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments

from harness.cli import main
from harness.core.plan_file import parse_plan_file
from harness.errors import UsageError
from harness.help import FOLDER, ORDER, contents, page, topics
from harness.load.arguments import add_arguments

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS_OF_PYTEST = {"--migration-plan", "--migration-locustfile", "--deselect"}
LANGUAGES = {"sh", "toml", "python", "yaml", "text"}


@cache
def flags_of_a_run() -> set[str]:
    """Locust's and ours."""
    parser = get_empty_argument_parser()
    setup_parser_arguments(parser)
    add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def test_no_page_is_left_out_of_the_order() -> None:
    assert {file.stem for file in FOLDER.glob("*.md")} == set(topics()) <= set(ORDER)


def test_the_contents_have_a_line_for_each_topic() -> None:
    assert [line.split()[0] for line in contents().splitlines()] == list(topics())


def test_an_unknown_topic_names_a_near_one() -> None:
    with pytest.raises(UsageError, match="gates"):
        page("gate")


@pytest.mark.parametrize("topic", topics())
def test_a_page_begins_with_its_topic_and_what_it_answers(topic: str) -> None:
    assert re.match(rf"# {topic}: \S", page(topic))


@pytest.mark.parametrize("topic", topics())
def test_the_blocks_of_a_page_say_what_they_are_and_parse(topic: str) -> None:
    text = page(topic)
    assert text.count("\n```") == 2 * len(BLOCK.findall(text)), "a block has no language"
    for language, block in BLOCK.findall(text):
        assert language in LANGUAGES
        if language == "toml":
            tomllib.loads(block)
        elif language == "python":
            compile(block, topic, "exec")


@pytest.mark.parametrize("topic", topics())
def test_a_page_names_only_topics_and_flags_that_exist(topic: str) -> None:
    text = page(topic)
    assert set(re.findall(r"harness help ([a-z-]+)", text)) <= set(ORDER)
    own = set(re.findall(r"`(--[a-z][a-z-]+)", text))
    assert own <= flags_of_a_run() | flags_of_commands() | FLAGS_OF_PYTEST, own


def test_the_plan_files_of_the_pages_are_plan_files() -> None:
    blocks = [
        block for topic in topics() for language, block in BLOCK.findall(page(topic)) if language == "toml"
    ]
    plans = [block for block in blocks if "[tool.locust" not in block]
    assert plans
    for block in plans:
        path = "pyproject.toml" if "[tool." in block else "harness.toml"
        assert parse_plan_file(block, path) is not None


@cache
def flags_of_commands() -> set[str]:
    """The flags of `harness COMMAND`."""
    from harness.cli import _parser

    (commands,) = (action for action in _parser()._actions if action.choices)
    parsers = dict(commands.choices or {}).values()
    return {option for parser in parsers for action in parser._actions for option in action.option_strings}


def test_the_command_prints_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "gates"]) == 0
    assert capsys.readouterr().out == page("gates")


def test_the_command_prints_the_topics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert capsys.readouterr().out.strip() == contents()
