"""The flags of a run stand beside Locust's own."""

from __future__ import annotations

from typing import Any

import pytest
from locust.argument_parser import LocustArgumentParser, get_empty_argument_parser, setup_parser_arguments

from harness.load.arguments import add_arguments


def parser(**how: Any) -> LocustArgumentParser:
    """Locust's parser with our flags, reading no file."""
    empty: LocustArgumentParser = get_empty_argument_parser(default_config_files=[])
    setup_parser_arguments(empty)
    add_arguments(empty, **how)
    return empty


def test_abbreviations_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--warmup", "3s"])
    assert "unrecognized arguments: --warmup" in capsys.readouterr().err


def test_the_web_page_shows_durations_and_revision_only() -> None:
    ours = parser(upgrade_choices=["safe@head"])
    shown = set(ours.args_included_in_web_ui) & {
        action.dest for action in ours._actions if action.env_var and action.env_var.startswith("MUL_")
    }
    assert shown == {"warmup_time", "baseline_time", "recover_time", "upgrade"}


def test_the_page_is_for_this_machine_unless_told_otherwise() -> None:
    assert parser().parse_args([]).web_host == "127.0.0.1"
    assert parser().parse_args(["--web-host", "0.0.0.0"]).web_host == "0.0.0.0"
