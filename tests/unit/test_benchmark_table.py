"""The benchmarks' rows: beside their peers, within their bounds, as a table and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks.table import Row, lines, show

PEER = Row("a request", "theirs", "µs", (10.0, 20.0, 40.0))


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    ours = Row("a request", "ours", "µs", (5.0, 5.0, 4.0), "theirs")
    peer, own = lines([PEER, ours])
    assert (peer.ratio, own.median, own.ratio) == (1.0, 5.0, 0.25)


def test_a_bound_is_broken_on_either_side_and_kept_between() -> None:
    def kept(least: float | None, most: float | None) -> bool:
        return lines([Row("a request", "ours", "µs", (5.0,), bounds=(least, most))])[0].kept

    assert kept(5.0, 5.0)
    assert kept(None, None)
    assert not kept(None, 4.9)
    assert not kept(5.1, None)


def test_a_bound_of_the_ratio_is_judged_by_the_ratio() -> None:
    ours = Row("a request", "ours", "µs", (30.0, 60.0, 120.0), "theirs", ratio_bounds=(3.0, None))
    assert lines([PEER, ours])[1].kept
    assert not lines([PEER, Row(**{**vars(ours), "ratio_bounds": (3.1, None)})])[1].kept


def test_an_absent_contender_has_no_number_and_breaks_no_bound(capsys: pytest.CaptureFixture[str]) -> None:
    absent = Row("a request", "wrk", "µs", (), "theirs", bounds=(1.0, 1.0), note="not on PATH")
    judged = lines([PEER, absent])
    assert (judged[1].median, judged[1].ratio, judged[1].kept) == (None, None, True)
    show({"http": judged})
    [said] = [line for line in capsys.readouterr().out.splitlines() if "wrk" in line]
    assert "wrk (not on PATH)" in said
    assert "absent" in said


def test_a_peer_that_gave_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="theirs"):
        lines([Row("a request", "ours", "µs", (5.0,), "theirs")])


def test_a_row_comes_back_from_json_as_it_was() -> None:
    row = Row("a request", "ours", "µs", (5.0, 6.0), "theirs", (None, 8.0), (0.5, None), "a note")
    said = json.loads(json.dumps([line.as_json() for line in lines([PEER, row])]))
    assert [Row.from_json(one) for one in said] == [PEER, row]


def test_the_command_knows_every_benchmark() -> None:
    files = Path(command.__file__).parent.glob("*.py")
    assert {file.stem for file in files if "\ndef rows(" in file.read_text()} == set(command.BENCHMARKS)


def test_the_readme_names_every_benchmark() -> None:
    text = (Path(command.__file__).parents[2] / "README.md").read_text()
    section = text.partition("### Benchmarks")[2].partition("## Licence")[0]
    assert re.findall(r"^\| `(\w+)` \| [^|]+ \|$", section, re.MULTILINE) == list(command.BENCHMARKS)
